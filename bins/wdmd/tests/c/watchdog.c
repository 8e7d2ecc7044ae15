/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a wdmd, this plays its watchdog device: a plain file named /dev/watchdog* that answers as a
 * driver would. What is done to it is appended to $WATCHDOG_LOG, a line each:
 *
 *   <milliseconds of the monotonic clock> open|keepalive|settimeout N|magic|close <path>
 *
 * How it behaves stands in $WATCHDOG_RULES, read anew at every call, a word and a number a line:
 *
 *   timeout N      what the device has when nobody set it
 *   max N          settimeout beyond this is refused (EINVAL)
 *   lie N          settimeout says yes and gettimeout then says N
 *   keepalive N    keepalive fails with this errno
 *   open N         open fails with this errno
 *   ioctl N        every ioctl fails with this errno
 *
 * An open device is locked (flock): the lock goes when the last process that has it open is gone or closes it, as
 * with a device, and another open fails (EBUSY) until then.
 *
 * The timeout that was set is kept in $WATCHDOG_RULES.set, as a driver keeps it.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <linux/watchdog.h>

#define MAX_FD 4096

static char is_watchdog[MAX_FD];
static char paths[MAX_FD][32];

static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void note(const char *what, const char *path)
{
	static int (*real_open)(const char *, int, ...);
	static ssize_t (*real_write)(int, const void *, size_t);
	static int (*real_close)(int);
	const char *name = getenv("WATCHDOG_LOG");
	int saved = errno, fd, length;
	struct timespec now;
	char line[128];

	real_open = real("open");
	real_write = real("write");
	real_close = real("close");
	if (!name)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	length = snprintf(line, sizeof(line), "%lld %s %s\n",
			  (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000, what, path);
	fd = real_open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd >= 0) {
		if (real_write(fd, line, length) != length)
			abort();
		real_close(fd);
	}
	errno = saved;
}

static int number_in(const char *name, const char *key, int otherwise)
{
	int saved = errno, found = otherwise, value;
	char word[32];
	FILE *file = fopen(name, "re");

	if (!file) {
		errno = saved;
		return otherwise;
	}
	while (fscanf(file, "%31s %d", word, &value) == 2)
		if (!strcmp(word, key))
			found = value;
	fclose(file);
	errno = saved;
	return found;
}

static int rule(const char *key, int otherwise)
{
	const char *name = getenv("WATCHDOG_RULES");

	return name ? number_in(name, key, otherwise) : otherwise;
}

static void set_name(char *to, size_t size)
{
	const char *name = getenv("WATCHDOG_RULES");

	snprintf(to, size, "%s.set", name ? name : "/nonexistent/rules");
}

static int timeout_now(void)
{
	char name[4096];

	set_name(name, sizeof(name));
	return number_in(name, "timeout", rule("timeout", 60));
}

static int opened(int fd, const char *path)
{
	static int (*real_close)(int);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		real_close = real("close");
		real_close(fd);
		errno = EBUSY;
		return -1;
	}
	if (fd >= 0 && fd < MAX_FD) {
		is_watchdog[fd] = 1;
		snprintf(paths[fd], sizeof(paths[fd]), "%s", path);
		note("open", path);
	}
	return fd;
}

static int refuses(const char *path)
{
	int error = 0;

	if (!strncmp(path, "/dev/watchdog", 13))
		error = rule("open", 0);
	if (error)
		errno = error;
	return error;
}

#define OPEN(name)                                                             \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		int (*next)(const char *, int, ...) = real(#name);             \
		va_list args;                                                  \
		mode_t mode;                                                   \
		int fd;                                                        \
                                                                               \
		va_start(args, flags);                                         \
		mode = va_arg(args, mode_t);                                   \
		va_end(args);                                                  \
		if (refuses(path))                                             \
			return -1;                                             \
		fd = next(path, flags, mode);                                  \
		return strncmp(path, "/dev/watchdog", 13) ? fd : opened(fd, path); \
	}

OPEN(open)
OPEN(open64)

int ioctl(int fd, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...) = real("ioctl");
	char name[4096], line[64];
	struct watchdog_info *info;
	va_list args;
	int *value, error;
	FILE *file;

	va_start(args, request);
	value = va_arg(args, int *);
	va_end(args);
	if (fd < 0 || fd >= MAX_FD || !is_watchdog[fd])
		return next(fd, request, value);
	error = rule("ioctl", 0);
	if (!error && request == WDIOC_KEEPALIVE)
		error = rule("keepalive", 0);
	if (!error && request == WDIOC_SETTIMEOUT && *value > rule("max", 65535))
		error = EINVAL;
	if (error) {
		errno = error;
		return -1;
	}
	switch (request) {
	case WDIOC_GETTIMEOUT:
		*value = timeout_now();
		return 0;
	case WDIOC_SETTIMEOUT:
		snprintf(line, sizeof(line), "settimeout %d", *value);
		note(line, paths[fd]);
		set_name(name, sizeof(name));
		file = fopen(name, "we");
		if (file) {
			fprintf(file, "timeout %d\n", rule("lie", *value));
			fclose(file);
		}
		return 0;
	case WDIOC_KEEPALIVE:
		note("keepalive", paths[fd]);
		return 0;
	case WDIOC_GETSUPPORT:
		info = (struct watchdog_info *)value;
		memset(info, 0, sizeof(*info));
		file = fopen("/sys/class/watchdog/watchdog0/identity", "re");
		if (file) {
			if (!fgets((char *)info->identity, sizeof(info->identity), file))
				info->identity[0] = 0;
			fclose(file);
		}
		info->identity[strcspn((char *)info->identity, "\n")] = 0;
		return 0;
	}
	errno = ENOTTY;
	return -1;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	ssize_t (*next)(int, const void *, size_t) = real("write");

	if (fd >= 0 && fd < MAX_FD && is_watchdog[fd]) {
		note(memchr(bytes, 'V', length) ? "magic" : "write", paths[fd]);
		return length;
	}
	return next(fd, bytes, length);
}

int close(int fd)
{
	int (*next)(int) = real("close");

	if (fd >= 0 && fd < MAX_FD && is_watchdog[fd]) {
		is_watchdog[fd] = 0;
		note("close", paths[fd]);
	}
	return next(fd);
}
