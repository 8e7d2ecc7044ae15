/*
 * Makes each request to a disk take DELAY_MS milliseconds longer, in any program that is run with LD_PRELOAD.
 *
 * It stands in for the functions with which lease daemons wait for their disks: pread and pwrite (ours), and
 * libaio's io_getevents (the C program, which has one request at a time in each thread). Nothing is copied
 * once more, as a file system in user space would.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void delay(void)
{
	struct timespec left = { DELAY_MS / 1000, DELAY_MS % 1000 * 1000000L };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

ssize_t pread64(int fd, void *buffer, size_t count, off_t offset)
{
	delay();
	return syscall(SYS_pread64, fd, buffer, count, offset);
}

ssize_t pwrite64(int fd, const void *buffer, size_t count, off_t offset)
{
	delay();
	return syscall(SYS_pwrite64, fd, buffer, count, offset);
}

ssize_t pread(int fd, void *buffer, size_t count, off_t offset) __attribute__((alias("pread64")));
ssize_t pwrite(int fd, const void *buffer, size_t count, off_t offset) __attribute__((alias("pwrite64")));

/* Unlike the system call, libaio's function returns the number of an error negated. */
int io_getevents(void *context, long least, long most, void *events, struct timespec *timeout)
{
	long result;

	delay();
	result = syscall(SYS_io_getevents, context, least, most, events, timeout);
	return result < 0 ? -errno : result;
}
