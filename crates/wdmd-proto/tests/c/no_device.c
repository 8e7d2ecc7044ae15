/* Preloaded into wdmd so that it takes a plain file for its watchdog device: no real device is touched. */

#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/ioctl.h>
#include <linux/watchdog.h>

static int timeout = 60;

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	int *value;

	va_start(args, request);
	value = va_arg(args, int *);
	va_end(args);
	if (request == WDIOC_GETTIMEOUT)
		*value = timeout;
	if (request == WDIOC_SETTIMEOUT)
		timeout = *value;
	return 0;
}
