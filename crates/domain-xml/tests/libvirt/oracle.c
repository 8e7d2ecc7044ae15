/* Asks libvirt itself which leases or locks domains take.
 *
 *   oracle LIBVIRT LIBSANLOCK_CLIENT DRIVER CONFIG_DIR
 *
 * Standard input names status files of domains, one in each line. libvirt's own code parses each, gives its disks and
 * leases to the driver's plug-in (sanlock or lockd), and the plug-in asks its daemon for them. What it asks for is
 * written instead of being sent, by functions here that take the place of those of the client libraries:
 *
 *   lockspace PATH        a lock space that the driver makes when it starts
 *   ready | refused       the driver has read CONFIG_DIR/qemu-DRIVER.conf
 *   lease RESOURCE        for sanlock
 *   lock DIR<TAB>NAME<TAB>FLAGS  for lockd
 *   started | unparsed TEXT | failed TEXT   ends what is said of one domain
 *
 * The functions of libvirt that this calls are not part of its interface; their declarations are those of 9.0.0.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define PID 4242

struct sanlk_disk;
struct sanlk_resource;
struct sanlk_lockspace;
struct sanlk_options;

static int (*res_to_str)(struct sanlk_resource *, char **);

/* The plug-in registers for the process that it runs in: that of the status file. */
pid_t getpid(void) { return PID; }

/* In one line. */
static void put(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ')
            printf("<%02X>", *text);
        else
            putchar(*text);
    }
}

/* libsanlock_client */

int sanlock_align(struct sanlk_disk *disk) { (void)disk; return 512; }
int sanlock_init(struct sanlk_lockspace *ls, struct sanlk_resource *res, int hosts, int num)
{
    (void)ls; (void)res; (void)hosts; (void)num;
    return 0;
}
int sanlock_write_lockspace(struct sanlk_lockspace *ls, int hosts, unsigned int flags, unsigned int timeout)
{
    (void)ls; (void)hosts; (void)flags; (void)timeout;
    return 0;
}
int sanlock_add_lockspace_timeout(struct sanlk_lockspace *ls, unsigned int flags, unsigned int timeout)
{
    (void)flags; (void)timeout;
    printf("lockspace %s\n", (const char *)ls);
    return 0;
}
int sanlock_inq_lockspace(struct sanlk_lockspace *ls, unsigned int flags) { (void)ls; (void)flags; return 0; }
int sanlock_register(void) { return dup(2); }
int sanlock_killpath(int sock, unsigned int flags, const char *path, char *args)
{
    (void)sock; (void)flags; (void)path;
    printf("killpath %s\n", args);
    return 0;
}
int sanlock_restrict(int sock, unsigned int flags) { (void)sock; (void)flags; return 0; }
int sanlock_inquire(int sock, int pid, unsigned int flags, int *count, char **state)
{
    (void)sock; (void)pid; (void)flags; (void)count; (void)state;
    return 0;
}
int sanlock_acquire(int sock, int pid, unsigned int flags, int count, struct sanlk_resource *args[],
                    struct sanlk_options *options)
{
    (void)sock; (void)pid; (void)flags; (void)options;
    for (int i = 0; i < count; i++) {
        char *text = NULL;
        if (res_to_str(args[i], &text) < 0)
            text = NULL;
        printf("lease ");
        put(text ? text : "?");
        printf("\n");
        free(text);
    }
    return 0;
}

/* libvirt's RPC client, as the lockd plug-in calls it */

struct acquire { char *path; char *name; unsigned int flags; };
struct create { char *path; };

void *virNetClientNewUNIX(const char *path, const char *spawn)
{
    (void)path; (void)spawn;
    return (void *)1;
}
void *virNetClientProgramNew(unsigned program, unsigned version, void *events, size_t count, void *opaque)
{
    (void)program; (void)version; (void)events; (void)count; (void)opaque;
    return (void *)1;
}
int virNetClientAddProgram(void *client, void *program) { (void)client; (void)program; return 0; }
void virNetClientClose(void *client) { (void)client; }
int virNetClientProgramCall(void *program, void *client, unsigned serial, int procedure, size_t out_count, int *out,
                            size_t *in_count, int **in, void *args_filter, void *args, void *ret_filter, void *ret)
{
    (void)program; (void)client; (void)serial; (void)out_count; (void)out; (void)in_count; (void)in;
    (void)args_filter; (void)ret_filter; (void)ret;
    if (procedure == 6) {
        struct acquire *acquire = args;
        printf("lock ");
        put(acquire->path);
        printf("\t");
        put(acquire->name);
        printf("\t%u\n", acquire->flags);
    } else if (procedure == 8) {
        printf("lockspace %s\n", ((struct create *)args)->path);
    }
    return 0;
}
void virObjectUnref(void *object)
{
    static void (*real)(void *);
    if (object == (void *)1)
        return;
    if (!real)
        real = (void (*)(void *))dlsym(RTLD_NEXT, "virObjectUnref");
    if (real)
        real(object);
}

static void *libvirt;

static void *find(const char *name)
{
    void *symbol = dlsym(libvirt, name);
    if (!symbol) {
        fprintf(stderr, "libvirt has no %s\n", name);
        exit(77);
    }
    return symbol;
}

static const char *why(void)
{
    static char text[1024];
    const char *(*message)(void) = (const char *(*)(void))find("virGetLastErrorMessage");
    const char *said = message();
    snprintf(text, sizeof(text), "%s", said ? said : "");
    for (char *at = text; *at; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    return text;
}

static void quiet(void *data, void *error) { (void)data; (void)error; }

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    libvirt = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!libvirt) {
        fprintf(stderr, "%s\n", dlerror());
        return 77;
    }
    unsigned long version = 0;
    ((int (*)(unsigned long *, const char *, unsigned long *))find("virGetVersion"))(&version, NULL, NULL);
    if (version != 9000000) {
        fprintf(stderr, "libvirt's version is %lu, not 9000000\n", version);
        return 77;
    }
    if (strcmp(argv[3], "sanlock") == 0) {
        void *client = dlopen(argv[2], RTLD_NOW);
        if (client)
            res_to_str = (int (*)(struct sanlk_resource *, char **))dlsym(client, "sanlock_res_to_str");
        if (!res_to_str) {
            fprintf(stderr, "%s\n", dlerror());
            return 77;
        }
    }
    ((int (*)(void))find("virInitialize"))();
    ((void (*)(void *, void *))find("virSetErrorFunc"))(NULL, quiet);
    void *(*plugin_new)(const char *, const char *, const char *, unsigned int) = find("virLockManagerPluginNew");
    void *(*option_new)(void *, void *, void *, void *, void *, void *) = find("virDomainXMLOptionNew");
    void *(*parse)(const char *, void *, unsigned int) = find("virDomainObjParseFile");
    int (*start)(void *, const char *, void *, int, int *) = find("virDomainLockProcessStart");

    void *plugin = plugin_new(argv[3], "qemu", argv[4], 0);
    if (!plugin) {
        printf("refused %s\n", why());
        return 0;
    }
    printf("ready\n");
    void *option = option_new(NULL, NULL, NULL, NULL, NULL, NULL);
    static char line[4096];
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        /* Status, actual network devices, original PCI states, without libvirt's further checks. */
        void *domain = parse(line, option, 1 | 1 << 2 | 1 << 3 | 1 << 8);
        if (!domain)
            printf("unparsed %s\n", why());
        else if (start(plugin, "qemu:///system", domain, 0, NULL) < 0)
            printf("failed %s\n", why());
        else
            printf("started\n");
        fflush(stdout);
    }
    return 0;
}
