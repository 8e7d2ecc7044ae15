/*
 * A client of libsanlock that is told line by line what to call.
 * Copyright: the authors of Leasehold.  License: GPL-2.0-or-later.
 *
 * Every line of input is one call; the answer is some lines and then a line ".".
 * Resources are LOCKSPACE:NAME:PATH:OFFSET[:LVER|:SH], with ";flags=N" and ";data32=N" behind it
 * where they are needed; lockspaces NAME:ID:PATH:OFFSET with ";flags=N".  TARGET is "self" for the
 * registered connection or the process id of another registered process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_direct.h>
#include <sanlock_resource.h>

#define MAX_WORDS 40
#define MAX_RES 16

static int registered = -1;
static int events[40];
static int event_count;

static char *word[MAX_WORDS + 1];
static int words;

static uint64_t number(int i)
{
	return i < words ? strtoull(word[i], NULL, 0) : 0;
}

/* cuts ";KEY=VALUE" off a word and returns its value, or 0 */
static uint64_t option(char *text, const char *key)
{
	char needle[32];
	char *at;
	uint64_t value;

	snprintf(needle, sizeof(needle), ";%s=", key);
	at = strstr(text, needle);
	if (!at)
		return 0;
	value = strtoull(at + strlen(needle), NULL, 0);
	return value;
}

static struct sanlk_resource *resource(char *text)
{
	struct sanlk_resource *res = NULL;
	uint64_t flags = option(text, "flags");
	uint64_t data32 = option(text, "data32");
	uint64_t data64 = option(text, "data64");
	char *end = strchr(text, ';');
	int rv;

	if (end)
		*end = 0;
	rv = sanlock_str_to_res(text, &res);
	if (rv < 0) {
		printf("str_to_res %d\n", rv);
		return NULL;
	}
	res->flags |= flags;
	res->data32 = data32;
	res->data64 = data64;
	return res;
}

static void lockspace(char *text, struct sanlk_lockspace *ls)
{
	uint64_t flags = option(text, "flags");
	char *end = strchr(text, ';');

	if (end)
		*end = 0;
	memset(ls, 0, sizeof(*ls));
	sanlock_str_to_lockspace(text, ls);
	ls->flags = flags;
}

static int resources(int from, struct sanlk_resource **list)
{
	int count = 0;

	for (; from < words && count < MAX_RES; from++) {
		list[count] = resource(word[from]);
		if (!list[count])
			return -1;
		count++;
	}
	return count;
}

static void free_all(struct sanlk_resource **list, int count)
{
	while (count-- > 0)
		free(list[count]);
}

/* sets socket and pid for a TARGET */
static void target(const char *text, int *sock, int *pid)
{
	if (!strcmp(text, "self")) {
		*sock = registered;
		*pid = -1;
	} else {
		*sock = -1;
		*pid = atoi(text);
	}
}

static void print_host(const char *what, struct sanlk_host *host)
{
	printf("%s %llu generation %llu timestamp %llu io_timeout %u flags %x\n", what,
	       (unsigned long long)host->host_id, (unsigned long long)host->generation,
	       (unsigned long long)host->timestamp, host->io_timeout, host->flags);
}

static void print_resource(struct sanlk_resource *res)
{
	printf("resource %.48s:%.48s lver %llu flags %x\n", res->lockspace_name, res->name,
	       (unsigned long long)res->lver, res->flags);
}

static void rindex_of(char *text, struct sanlk_rindex *rx)
{
	uint64_t flags = option(text, "flags");
	uint64_t max = option(text, "max");
	char *end = strchr(text, ';');
	char *path, *offset;

	if (end)
		*end = 0;
	memset(rx, 0, sizeof(*rx));
	rx->flags = flags;
	rx->max_resources = max;
	path = strchr(text, ':');
	offset = path ? strchr(path + 1, ':') : NULL;
	if (!offset)
		return;
	*path++ = 0;
	*offset++ = 0;
	strncpy(rx->lockspace_name, text, SANLK_NAME_LEN);
	strncpy(rx->disk.path, path, SANLK_PATH_LEN - 1);
	rx->disk.offset = strtoull(offset, NULL, 0);
}

static void rindex_call(const char *call)
{
	struct sanlk_rindex rx;
	struct sanlk_rentry re;
	int rv;

	rindex_of(word[2], &rx);
	memset(&re, 0, sizeof(re));
	if (words > 3 && strcmp(word[3], "-"))
		strncpy(re.name, word[3], SANLK_NAME_LEN);
	re.offset = number(4);

	if (!strcmp(call, "format_rindex"))
		rv = sanlock_format_rindex(&rx, number(1));
	else if (!strcmp(call, "rebuild_rindex"))
		rv = sanlock_rebuild_rindex(&rx, number(1));
	else if (!strcmp(call, "update_rindex"))
		rv = sanlock_update_rindex(&rx, number(1), &re);
	else if (!strcmp(call, "lookup_rindex"))
		rv = sanlock_lookup_rindex(&rx, number(1), &re);
	else if (!strcmp(call, "create_resource"))
		rv = sanlock_create_resource(&rx, number(1), &re, number(5), number(6));
	else
		rv = sanlock_delete_resource(&rx, number(1), &re);

	printf("%s %d\n", call, rv);
	if (!rv && strcmp(call, "format_rindex") && strcmp(call, "rebuild_rindex"))
		printf("name \"%.48s\" offset %llu\n", re.name, (unsigned long long)re.offset);
}

static void event_call(const char *call)
{
	struct sanlk_host_event he;
	struct pollfd pfd;
	uint64_t from_host = 0, from_generation = 0;
	int rv;

	memset(&he, 0, sizeof(he));
	if (!strcmp(call, "reg_event")) {
		rv = sanlock_reg_event(word[1], &he, number(2));
		if (rv >= 0 && event_count < 40)
			events[event_count++] = rv;
		printf("reg_event %s%d\n", rv < 0 ? "" : "fd ", rv < 0 ? rv : 0);
	} else if (!strcmp(call, "end_event")) {
		rv = event_count ? events[--event_count] : -1;
		printf("end_event %d\n", sanlock_end_event(rv, word[1], number(2)));
	} else if (!strcmp(call, "set_event")) {
		he.host_id = number(2);
		he.generation = number(3);
		he.event = number(4);
		he.data = number(5);
		printf("set_event %d\n", sanlock_set_event(word[1], &he, number(6)));
	} else {
		/* get_event SECONDS */
		pfd.fd = event_count ? events[event_count - 1] : -1;
		pfd.events = POLLIN;
		pfd.revents = 0;
		if (poll(&pfd, 1, number(1) * 1000) != 1) {
			printf("no event\n");
			return;
		}
		if (pfd.revents & (POLLERR | POLLHUP) && !(pfd.revents & POLLIN)) {
			printf("event connection closed\n");
			return;
		}
		rv = sanlock_get_event(pfd.fd, 0, &he, &from_host, &from_generation);
		printf("get_event %d host_id %llu generation %llu event %llu data %llu from %llu %llu\n",
		       rv, (unsigned long long)he.host_id, (unsigned long long)he.generation,
		       (unsigned long long)he.event, (unsigned long long)he.data,
		       (unsigned long long)from_host, (unsigned long long)from_generation);
	}
}

static void lockspace_call(const char *call)
{
	struct sanlk_lockspace ls, *list = NULL;
	struct sanlk_host *hosts = NULL;
	uint32_t io_timeout = 0, version = 0, proto = 0;
	struct sanlk_disk disk;
	int rv, i, count = 0;

	if (!strcmp(call, "add_lockspace")) {
		/* FLAGS TIMEOUT LOCKSPACE */
		lockspace(word[3], &ls);
		rv = sanlock_add_lockspace_timeout(&ls, number(1), number(2));
		printf("add_lockspace %d\n", rv);
	} else if (!strcmp(call, "inq_lockspace")) {
		lockspace(word[2], &ls);
		printf("inq_lockspace %d\n", sanlock_inq_lockspace(&ls, number(1)));
	} else if (!strcmp(call, "rem_lockspace")) {
		lockspace(word[2], &ls);
		printf("rem_lockspace %d\n", sanlock_rem_lockspace(&ls, number(1)));
	} else if (!strcmp(call, "get_lockspaces")) {
		rv = sanlock_get_lockspaces(&list, &count, number(1));
		printf("get_lockspaces %d count %d\n", rv, count);
		for (i = 0; rv >= 0 && i < count; i++)
			printf("lockspace %.48s:%llu:%s:%llu flags %x\n", list[i].name,
			       (unsigned long long)list[i].host_id, list[i].host_id_disk.path,
			       (unsigned long long)list[i].host_id_disk.offset, list[i].flags);
		free(list);
	} else if (!strcmp(call, "get_hosts")) {
		rv = sanlock_get_hosts(word[1], number(2), &hosts, &count, 0);
		printf("get_hosts %d count %d\n", rv, count);
		for (i = 0; rv >= 0 && i < count; i++)
			print_host("host", &hosts[i]);
		free(hosts);
	} else if (!strcmp(call, "set_config")) {
		printf("set_config %d\n", sanlock_set_config(word[1], number(2), number(3), NULL));
	} else if (!strcmp(call, "align")) {
		memset(&disk, 0, sizeof(disk));
		if (words > 1)
			strncpy(disk.path, word[1], SANLK_PATH_LEN - 1);
		printf("align %d\n", sanlock_align(&disk));
	} else if (!strcmp(call, "read_lockspace")) {
		lockspace(word[2], &ls);
		rv = sanlock_read_lockspace(&ls, number(1), &io_timeout);
		printf("read_lockspace %d\n", rv);
		if (!rv)
			printf("lockspace %.48s:%llu flags %x io_timeout %u\n", ls.name,
			       (unsigned long long)ls.host_id, ls.flags, io_timeout);
	} else if (!strcmp(call, "write_lockspace")) {
		/* FLAGS MAX_HOSTS TIMEOUT LOCKSPACE */
		lockspace(word[4], &ls);
		rv = sanlock_write_lockspace(&ls, number(2), number(1), number(3));
		printf("write_lockspace %d\n", rv);
	} else if (!strcmp(call, "version")) {
		rv = sanlock_version(number(1), &version, &proto);
		printf("version %d 0x%08x proto %x\n", rv, version, proto);
	} else {
		printf("unknown call\n");
	}
}

static void lvb_call(const char *call)
{
	struct sanlk_resource *res = resource(word[2]);
	char lvb[8192];
	int rv, i, len;

	if (!res)
		return;
	if (!strcmp(call, "set_lvb")) {
		/* FLAGS RES LENGTH TEXT: TEXT repeated up to LENGTH */
		len = number(3);
		for (i = 0; i < len; i++)
			lvb[i] = words > 4 ? word[4][i % strlen(word[4])] : 0;
		printf("set_lvb %d\n", sanlock_set_lvb(number(1), res, lvb, len));
	} else {
		/* FLAGS RES LENGTH: shown as text, with runs of one character shortened */
		len = number(3);
		memset(lvb, '-', sizeof(lvb));
		rv = sanlock_get_lvb(number(1), res, lvb, len);
		printf("get_lvb %d\n", rv);
		for (i = 0; !rv && i < len;) {
			int same = i;

			while (same < len && lvb[same] == lvb[i])
				same++;
			printf("%s%c*%d", i ? " " : "", lvb[i] ? lvb[i] : '0', same - i);
			i = same;
		}
		if (!rv)
			printf("\n");
	}
	free(res);
}

static void owners_call(const char *call)
{
	struct sanlk_resource *res = resource(word[2]);
	struct sanlk_host *owners = NULL, *hosts = NULL;
	int rv, i, count = 0, hosts_count = 0;
	uint32_t flags = 0;

	if (!res)
		return;
	rv = sanlock_read_resource_owners(res, number(1), &owners, &count);
	printf("read_resource_owners %d count %d\n", rv, count);
	if (rv >= 0)
		print_resource(res);
	for (i = 0; rv >= 0 && i < count; i++)
		print_host("owner", &owners[i]);
	if (rv >= 0 && !strcmp(call, "test_resource_owners")) {
		rv = sanlock_get_hosts(res->lockspace_name, 0, &hosts, &hosts_count, 0);
		if (rv < 0)
			printf("get_hosts %d\n", rv);
		rv = sanlock_test_resource_owners(res, 0, owners, count, hosts, hosts_count, &flags);
		printf("test_resource_owners %d flags %x\n", rv, flags);
	}
	free(hosts);
	free(owners);
	free(res);
}

static void resource_call(const char *call)
{
	struct sanlk_resource *list[MAX_RES];
	struct sanlk_options options;
	struct sanlk_lockspace ls;
	char *state = NULL;
	int sock, pid, rv, count = 0;

	memset(&options, 0, sizeof(options));
	if (!strcmp(call, "acquire") || !strcmp(call, "acquire_as")) {
		/* TARGET FLAGS RES...; acquire_as TARGET FLAGS NAME RES... */
		int as = !strcmp(call, "acquire_as");

		target(word[1], &sock, &pid);
		if (as)
			strncpy(options.owner_name, word[3], SANLK_NAME_LEN);
		count = resources(3 + as, list);
		if (count < 0)
			return;
		rv = sanlock_acquire(sock, pid, number(2), count, list, as ? &options : NULL);
		printf("acquire %d\n", rv);
	} else if (!strcmp(call, "release")) {
		target(word[1], &sock, &pid);
		count = resources(3, list);
		if (count < 0)
			return;
		printf("release %d\n", sanlock_release(sock, pid, number(2), count, list));
	} else if (!strcmp(call, "inquire")) {
		target(word[1], &sock, &pid);
		rv = sanlock_inquire(sock, pid, number(2), &count, &state);
		printf("inquire %d count %d\n", rv, count);
		if (state)
			printf("%s\n", state);
		free(state);
		return;
	} else if (!strcmp(call, "convert")) {
		target(word[1], &sock, &pid);
		count = resources(3, list);
		if (count != 1)
			return;
		printf("convert %d\n", sanlock_convert(sock, pid, number(2), list[0]));
	} else if (!strcmp(call, "request")) {
		/* FLAGS FORCE RES */
		count = resources(3, list);
		if (count != 1)
			return;
		printf("request %d\n", sanlock_request(number(1), number(2), list[0]));
	} else if (!strcmp(call, "examine_resource")) {
		count = resources(2, list);
		if (count != 1)
			return;
		printf("examine %d\n", sanlock_examine(number(1), NULL, list[0]));
	} else if (!strcmp(call, "examine_lockspace")) {
		lockspace(word[2], &ls);
		printf("examine %d\n", sanlock_examine(number(1), &ls, NULL));
		return;
	} else if (!strcmp(call, "read_resource")) {
		count = resources(2, list);
		if (count != 1)
			return;
		rv = sanlock_read_resource(list[0], number(1));
		printf("read_resource %d\n", rv);
		if (!rv)
			print_resource(list[0]);
	} else if (!strcmp(call, "write_resource")) {
		/* FLAGS MAX_HOSTS NUM_HOSTS RES */
		count = resources(4, list);
		if (count != 1)
			return;
		rv = sanlock_write_resource(list[0], number(2), number(3), number(1));
		printf("write_resource %d\n", rv);
	}
	free_all(list, count);
}

static int is_one_of(const char *call, const char *list)
{
	char needle[64];

	snprintf(needle, sizeof(needle), " %s ", call);
	return strstr(list, needle) != NULL;
}

static void handle(void)
{
	const char *call = word[0];
	int rv;

	if (!strcmp(call, "register")) {
		registered = sanlock_register();
		printf("register %s\n", registered < 0 ? "failed" : "done");
		if (registered < 0)
			printf("%d\n", registered);
	} else if (!strcmp(call, "close")) {
		printf("close %d\n", close(registered));
		registered = -1;
	} else if (!strcmp(call, "restrict")) {
		printf("restrict %d\n", sanlock_restrict(registered, number(1)));
	} else if (!strcmp(call, "killpath")) {
		/* FLAGS PATH ARGS */
		rv = sanlock_killpath(registered, number(1), word[2],
				      words > 3 ? word[3] : (char *)"");
		printf("killpath %d\n", rv);
	} else if (!strcmp(call, "ignore_term")) {
		signal(SIGTERM, SIG_IGN);
		printf("ignored\n");
	} else if (!strcmp(call, "exec")) {
		/* goes on as another program, which inherits the registered connection */
		printf("exec\n.\n");
		fflush(stdout);
		word[words] = NULL;
		execv(word[1], word + 1);
		printf("exec failed %d\n", errno);
	} else if (!strcmp(call, "strerror")) {
		printf("%s\n", sanlock_strerror(atoi(word[1])));
	} else if (is_one_of(call, " reg_event end_event set_event get_event ")) {
		event_call(call);
	} else if (is_one_of(call, " format_rindex rebuild_rindex update_rindex lookup_rindex"
				   " create_resource delete_resource ")) {
		rindex_call(call);
	} else if (is_one_of(call, " set_lvb get_lvb ")) {
		lvb_call(call);
	} else if (is_one_of(call, " read_resource_owners test_resource_owners ")) {
		owners_call(call);
	} else if (is_one_of(call, " acquire acquire_as release inquire convert request"
				   " examine_resource examine_lockspace read_resource"
				   " write_resource ")) {
		resource_call(call);
	} else {
		lockspace_call(call);
	}
}

/* words are separated by blanks; single quotes keep blanks together */
static void split(char *line)
{
	int i, quoted = 0;
	char *out = line;

	words = 0;
	for (i = 0; i < MAX_WORDS; i++)
		word[i] = (char *)"";
	while (*line && words < MAX_WORDS) {
		while (*line == ' ')
			line++;
		if (!*line)
			break;
		word[words++] = out = line;
		while (*line && (*line != ' ' || quoted)) {
			if (*line == '\'')
				quoted = !quoted;
			else
				*out++ = *line;
			line++;
		}
		if (*line)
			line++;
		*out = 0;
	}
}

int main(void)
{
	char line[65536];

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		split(line);
		handle();
		printf(".\n");
		fflush(stdout);
	}
	return 0;
}
