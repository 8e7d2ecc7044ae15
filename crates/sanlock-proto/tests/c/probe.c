/* Asks the real headers and the real libsanlock_client what the Rust side is compared with. */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/types.h>

#include "sanlock.h"
#include "sanlock_admin.h"
#include "sanlock_resource.h"
#include "sanlock_rv.h"

#define SIZE(t) printf(#t " %zu\n", sizeof(struct t))
#define AT(t, f) printf(#t "." #f " %zu\n", offsetof(struct t, f))
#define VALUE(m) printf(#m " %lld\n", (long long)(m))

static void layout(void)
{
	SIZE(sanlk_disk);
	AT(sanlk_disk, path); AT(sanlk_disk, offset); AT(sanlk_disk, pad1);
	SIZE(sanlk_lockspace);
	AT(sanlk_lockspace, name); AT(sanlk_lockspace, host_id);
	AT(sanlk_lockspace, flags); AT(sanlk_lockspace, host_id_disk);
	SIZE(sanlk_resource);
	AT(sanlk_resource, lockspace_name); AT(sanlk_resource, name); AT(sanlk_resource, lver);
	AT(sanlk_resource, data64); AT(sanlk_resource, data32); AT(sanlk_resource, flags);
	AT(sanlk_resource, num_disks); AT(sanlk_resource, disks);
	SIZE(sanlk_options);
	AT(sanlk_options, owner_name); AT(sanlk_options, flags); AT(sanlk_options, len);
	SIZE(sanlk_host);
	AT(sanlk_host, host_id); AT(sanlk_host, generation); AT(sanlk_host, timestamp);
	AT(sanlk_host, io_timeout); AT(sanlk_host, flags);
	SIZE(sanlk_host_event);
	AT(sanlk_host_event, host_id); AT(sanlk_host_event, generation);
	AT(sanlk_host_event, event); AT(sanlk_host_event, data);
	SIZE(sanlk_rindex);
	AT(sanlk_rindex, flags); AT(sanlk_rindex, max_resources);
	AT(sanlk_rindex, lockspace_name); AT(sanlk_rindex, disk);
	SIZE(sanlk_rentry);
	AT(sanlk_rentry, name); AT(sanlk_rentry, offset); AT(sanlk_rentry, flags);
}

static void values(void)
{
#include "values.inc"
}

static void fill_disk(struct sanlk_disk *disk, const char *path, uint64_t offset)
{
	memset(disk, 0, sizeof(*disk));
	strcpy(disk->path, path);
	disk->offset = offset;
}

static struct sanlk_resource *new_resource(const char *name, int disks)
{
	struct sanlk_resource *res = calloc(1, sizeof(*res) + disks * sizeof(struct sanlk_disk));
	int i;

	strcpy(res->lockspace_name, "space");
	strcpy(res->name, name);
	res->lver = 7;
	res->data64 = 64;
	res->data32 = 32;
	res->flags = SANLK_RES_LVER | SANLK_RES_SHARED;
	res->num_disks = disks;
	for (i = 0; i < disks; i++)
		fill_disk(&res->disks[i], i ? "/dev/second" : "/dev/first", (i + 1) * 1048576);
	return res;
}

static void show_lockspace(const struct sanlk_lockspace *ls)
{
	printf(" %.48s %" PRIu64 " %x %s %" PRIu64, ls->name, ls->host_id, ls->flags,
	       ls->host_id_disk.path, ls->host_id_disk.offset);
}

static void show_resource(const struct sanlk_resource *res)
{
	printf(" %.48s %.48s %" PRIu64 " %" PRIu64 " %u %x %u", res->lockspace_name, res->name,
	       res->lver, res->data64, res->data32, res->flags, res->num_disks);
}

static void show_hosts(const struct sanlk_host *hosts, int count)
{
	int i;

	printf(" hosts %d", count);
	for (i = 0; i < count; i++)
		printf(" %" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%u:%x", hosts[i].host_id,
		       hosts[i].generation, hosts[i].timestamp, hosts[i].io_timeout, hosts[i].flags);
}

/* Calls every function once; the caller checks what comes over the socket, and what is printed. */
static void calls(void)
{
	struct sanlk_lockspace ls, *lss = NULL;
	struct sanlk_resource *one = new_resource("one", 1), *two = new_resource("two", 2);
	struct sanlk_resource *both[2] = { one, two };
	struct sanlk_host *hosts = NULL;
	struct sanlk_host_event ev = { 2, 3, 4, 5 }, got;
	struct sanlk_options opt;
	struct sanlk_disk disk;
	struct sanlk_rindex rx;
	struct sanlk_rentry re;
	uint32_t io_timeout = 0, version = 0, proto = 0;
	uint64_t from_host = 0, from_generation = 0;
	int count = 0, fd, rv, i;
	char *state = NULL;
	char lvb[512];

	memset(&ls, 0, sizeof(ls));
	memset(ls.name, 'n', SANLK_NAME_LEN); /* without a terminator */
	ls.host_id = 11;
	ls.flags = SANLK_LSF_ALIGN1M | SANLK_LSF_SECTOR512;
	fill_disk(&ls.host_id_disk, "/dev/ls", 4096);
	fill_disk(&disk, "/dev/align", 0);
	memset(&opt, 0, sizeof(opt));
	strcpy(opt.owner_name, "owner");
	memset(&rx, 0, sizeof(rx));
	rx.flags = SANLK_RIF_ALIGN1M;
	rx.max_resources = 99;
	strcpy(rx.lockspace_name, "space");
	rx.disk = ls.host_id_disk;
	memset(&re, 0, sizeof(re));
	strcpy(re.name, "entry");
	re.offset = 3 * 1048576;
	for (i = 0; i < (int)sizeof(lvb); i++)
		lvb[i] = i;

	printf("add_lockspace %d\n", sanlock_add_lockspace_timeout(&ls, SANLK_ADD_ASYNC, 10));
	printf("inq_lockspace %d\n", sanlock_inq_lockspace(&ls, SANLK_INQ_WAIT));
	printf("rem_lockspace %d\n", sanlock_rem_lockspace(&ls, SANLK_REM_UNUSED));
	rv = sanlock_get_lockspaces(&lss, &count, 0);
	printf("get_lockspaces %d %d", rv, count);
	for (i = 0; rv >= 0 && i < count; i++)
		show_lockspace(&lss[i]);
	printf("\n");
	rv = sanlock_get_hosts("space", 2, &hosts, &count, 0);
	printf("get_hosts %d", rv);
	show_hosts(hosts, count);
	printf("\n");
	printf("set_config %d\n", sanlock_set_config("space", 0, SANLK_CONFIG_USED, NULL));
	printf("align %d\n", sanlock_align(&disk));
	rv = sanlock_read_lockspace(&ls, 0, &io_timeout);
	printf("read_lockspace %d %u", rv, io_timeout);
	show_lockspace(&ls);
	printf("\n");
	rv = sanlock_read_resource(two, 0);
	printf("read_resource %d", rv);
	show_resource(two);
	printf("\n");
	rv = sanlock_read_resource(two, 0);
	printf("read_resource %d", rv);
	show_resource(two);
	printf("\n");
	rv = sanlock_read_resource_owners(two, 0, &hosts, &count);
	printf("read_resource_owners %d", rv);
	show_resource(two);
	show_hosts(hosts, count);
	printf("\n");
	printf("write_lockspace %d\n", sanlock_write_lockspace(&ls, 2000, 0, 10));
	printf("write_resource %d\n", sanlock_write_resource(two, 2000, 100, SANLK_WRITE_CLEAR));
	printf("set_event %d\n", sanlock_set_event("space", &ev, SANLK_SETEV_ALL_HOSTS));
	fd = sanlock_reg_event("space", NULL, 0);
	printf("reg_event %s\n", fd >= 0 ? "fd" : "error");
	do {
		rv = sanlock_get_event(fd, 0, &got, &from_host, &from_generation);
		if (rv == -EAGAIN)
			usleep(1000);
	} while (rv == -EAGAIN);
	printf("get_event %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	       rv, got.host_id, got.generation, got.event, got.data, from_host, from_generation);
	printf("end_event %d\n", sanlock_end_event(fd, "space", 0));
	rv = sanlock_version(0, &version, &proto);
	printf("version %d %x %x\n", rv, version, proto);

	fd = sanlock_register();
	printf("register %s\n", fd >= 0 ? "fd" : "error");
	printf("restrict %d\n", sanlock_restrict(fd, SANLK_RESTRICT_SIGKILL));
	printf("killpath %d\n", sanlock_killpath(fd, SANLK_KILLPATH_PID, "/bin/kill", "-9 it"));
	printf("acquire %d\n", sanlock_acquire(fd, -1, SANLK_ACQUIRE_LVB, 2, both, &opt));
	rv = sanlock_inquire(fd, -1, 0, &count, &state);
	printf("inquire %d %d %s\n", rv, count, state ? state : "-");
	printf("convert %d\n", sanlock_convert(fd, -1, SANLK_CONVERT_OWNER_NOWAIT, one));
	printf("release %d\n", sanlock_release(fd, -1, SANLK_REL_RENAME, 2, both));
	printf("release %d\n", sanlock_release(fd, -1, SANLK_REL_ALL, 2, both));
	close(fd);
	printf("acquire %d\n", sanlock_acquire(-1, 1234, 0, 1, both, NULL));
	rv = sanlock_inquire(-1, 1234, 0, &count, &state);
	printf("inquire %d %d %s\n", rv, count, state ? state : "-");
	printf("convert %d\n", sanlock_convert(-1, 1234, 0, one));
	printf("release %d\n", sanlock_release(-1, 1234, SANLK_REL_ORPHAN, 1, both));
	printf("release %d\n", sanlock_release(-1, 1234, 0, 2, both));
	printf("request %d\n", sanlock_request(SANLK_REQUEST_NEXT_LVER, SANLK_REQ_GRACEFUL, two));
	printf("examine %d\n", sanlock_examine(0, &ls, NULL));
	printf("examine %d\n", sanlock_examine(0, NULL, two));
	printf("set_lvb %d\n", sanlock_set_lvb(0, one, lvb, sizeof(lvb)));
	memset(lvb, 0, sizeof(lvb));
	rv = sanlock_get_lvb(0, one, lvb, sizeof(lvb));
	printf("get_lvb %d %d %d\n", rv, lvb[1], lvb[127]);
	printf("get_lvb %d\n", sanlock_get_lvb(0, one, lvb, sizeof(lvb)));
#ifndef NO_RINDEX
	printf("format_rindex %d\n", sanlock_format_rindex(&rx, 0));
	printf("rebuild_rindex %d\n", sanlock_rebuild_rindex(&rx, SANLK_RX_NO_LOCKSPACE));
	printf("update_rindex %d\n", sanlock_update_rindex(&rx, SANLK_RXUP_ADD, &re));
	rv = sanlock_lookup_rindex(&rx, 0, &re);
	printf("lookup_rindex %d %.48s %" PRIu64 " %u\n", rv, re.name, re.offset, re.flags);
	rv = sanlock_create_resource(&rx, 0, &re, 2000, 100);
	printf("create_resource %d %.48s %" PRIu64 "\n", rv, re.name, re.offset);
	printf("delete_resource %d\n", sanlock_delete_resource(&rx, 0, &re));
#endif
}

/* Lines "KIND HEX"; the text is in hexadecimal so that it may hold anything. */
static char *unhex(const char *hex)
{
	size_t i, len = strlen(hex) / 2;
	char *text = calloc(1, len + 1);

	for (i = 0; i < len; i++) {
		unsigned int byte;
		sscanf(hex + 2 * i, "%2x", &byte);
		text[i] = byte;
	}
	return text;
}

static void hex(const char *text)
{
	for (; *text; text++)
		printf("%02x", (unsigned char)*text);
}

static void print_resource(struct sanlk_resource *res)
{
	char *str = NULL;
	int rv = sanlock_res_to_str(res, &str);

	printf(" ");
	hex(res->lockspace_name);
	printf(" %" PRIu64 " %x %u %d ", res->lver, res->flags, res->num_disks, rv);
	if (!rv)
		hex(str);
	free(str);
}

static void text(void)
{
	static char line[65536], argument[65536];
	char kind, path[1025];

	while (fgets(line, sizeof(line), stdin)) {
		char *str;
		argument[0] = 0;
		if (sscanf(line, "%c %65535s", &kind, argument) < 1)
			break;
		str = unhex(argument);
		if (kind == 'r') {
			struct sanlk_resource *res = NULL;
			int rv = sanlock_str_to_res(str, &res);
			printf("%d", rv);
			if (!rv)
				print_resource(res);
			free(res);
		} else if (kind == 's') {
			struct sanlk_resource **args = NULL;
			char *state = NULL;
			int count = 0, i, rv = sanlock_state_to_args(str, &count, &args);
			printf("%d", rv);
			if (!rv) {
				printf(" %d", count);
				for (i = 0; i < count; i++)
					print_resource(args[i]);
				rv = sanlock_args_to_state(count, args, &state);
				printf(" %d ", rv);
				if (!rv)
					hex(state);
			}
		} else if (kind == 'l') {
			struct sanlk_lockspace ls;
			memset(&ls, 0, sizeof(ls));
			sanlock_str_to_lockspace(str, &ls);
			ls.host_id_disk.path[SANLK_PATH_LEN - 1] = 0;
			printf("%" PRIu64 " %" PRIu64 " ", ls.host_id, ls.host_id_disk.offset);
			memcpy(path, ls.name, SANLK_NAME_LEN);
			path[SANLK_NAME_LEN] = 0;
			hex(path);
			printf(" ");
			hex(ls.host_id_disk.path);
		} else if (kind == 'e') {
			sanlock_path_export(path, str, sizeof(path));
			hex(path);
		}
		printf("\n");
		free(str);
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2)
		return 2;
	if (!strcmp(argv[1], "layout"))
		layout();
	else if (!strcmp(argv[1], "values"))
		values();
	else if (!strcmp(argv[1], "calls"))
		calls();
	else if (!strcmp(argv[1], "text"))
		text();
	return 0;
}
