/* Calls every function of the real libwdmd once, on the socket that $WDMD_SOCKET names. */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "wdmd.h"

/* The library finds its socket with this function; ours comes first. */
int wdmd_socket_address(struct sockaddr_un *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_LOCAL;
	strncpy(addr->sun_path, getenv("WDMD_SOCKET"), sizeof(addr->sun_path) - 1);
	return 0;
}

#ifdef HAVE_OPEN_WATCHDOG
int wdmd_open_watchdog(int con, int fire_timeout);
#endif

int main(void)
{
	char name[WDMD_NAME_SIZE + 2];
	uint64_t last_keepalive = 0;
	int test_interval = 0, fire_timeout = 0, con, rv;

	setvbuf(stdout, NULL, _IOLBF, 0);
	con = wdmd_connect();
	printf("connect %s\n", con >= 0 ? "fd" : "error");
	memset(name, 'n', sizeof(name));
	name[WDMD_NAME_SIZE + 1] = 0;
	printf("register %d\n", wdmd_register(con, name));
	name[WDMD_NAME_SIZE] = 0;
	printf("register %d\n", wdmd_register(con, name));
	printf("register %d\n", wdmd_register(con, "sanlock_space:1"));
	printf("refcount_set %d\n", wdmd_refcount_set(con));
	rv = wdmd_status(con, &test_interval, &fire_timeout, &last_keepalive);
	printf("status %d %d %d %" PRIu64 "\n", rv, test_interval, fire_timeout, last_keepalive);
	printf("test_live %d\n", wdmd_test_live(con, 0x123456789abcdef0, 0xfedcba9876543210));
	printf("test_live %d\n", wdmd_test_live(con, 0, 0));
	printf("refcount_clear %d\n", wdmd_refcount_clear(con));
	return 0;
}
