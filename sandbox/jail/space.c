/*
 * space.c - namespaces of the zygote's own, and an empty root.
 *
 * Runs in: zygote.
 *
 * Afterwards there is no file to open, no network to reach, no process of the
 * host to name.  Workers inherit all of it; entering it costs about a
 * millisecond, once.  Each namespace is unshared by itself, so that one that
 * cannot be had does not take the others with it.
 */
#include "sandbox/base/cleanup.h"
#include "sandbox/jail/jail_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static int
write_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);

	if (fd < 0)
		return -1;
	return write(fd, text, n) == (ssize_t)n ? 0 : -1;
}

static ssize_t
read_file(const char *path, char *text, size_t text_bytes)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, text_bytes - 1);
	if (n >= 0)
		text[n] = '\0';
	return n;
}

/*
 * Our uid and gid are the only ones inside.  A failure shows by itself: the
 * ids outside stay unknown.  user_namespaces(7).
 */
static void
write_maps(const struct jail_zygote_config *config)
{
	char line[64];

	if (read_file("/proc/self/uid_map", line, sizeof(line)) > 0)
		return; /* the starter did it */
	(void)write_file("/proc/self/setgroups", "deny");
	(void)snprintf(line, sizeof(line), "%u %u 1", config->uid, config->uid);
	(void)write_file("/proc/self/uid_map", line);
	(void)snprintf(line, sizeof(line), "%u %u 1", config->gid, config->gid);
	(void)write_file("/proc/self/gid_map", line);
}

/* What id inside is outside, by the map's extents "inside outside count".
 * Root of more than itself is root, whatever it is called outside. */
static bool
outside(const char *map, unsigned int id, unsigned int *outer_out)
{
	unsigned int inside, outer, count;
	char text[1024];
	const char *p = text;
	int used;

	if (read_file(map, text, sizeof(text)) <= 0)
		return false;
	while (sscanf(p, "%u %u %u%n", &inside, &outer, &count, &used) == 3) {
		if (id >= inside && id - inside < count) {
			*outer_out = outer + (id - inside);
			if (id == 0 && count > 1)
				*outer_out = 0;
			return true;
		}
		p += used;
	}
	return false;
}

void
jail_plan_ids(const struct jail_zygote_config *config, struct jail_ids *ids)
{
	if (config->user_namespace)
		write_maps(config);
	ids->change = !config->user_namespace && geteuid() == 0;
	ids->uid = ids->change ? config->uid : getuid();
	ids->gid = ids->change ? config->gid : getgid();
	ids->known = outside("/proc/self/uid_map", ids->uid, &ids->outer_uid) &&
	    outside("/proc/self/gid_map", ids->gid, &ids->outer_gid);
}

/* When memory runs out the kernel should take a worker, never the gateway. */
void
jail_oom_score(struct jail_report *report)
{
	static const char path[] = "/proc/self/oom_score_adj";
	char text[16] = "";

	if (write_file(path, "1000") < 0 ||
	    read_file(path, text, sizeof(text)) < 0) {
		jail_down(report, JAIL_OOM_SCORE, path, errno);
		return;
	}
	jail_judge(report, JAIL_OOM_SCORE, strcmp(text, "1000\n") == 0,
	    "reads back as something else");
}

/* Enter a new namespace; true when the kernel names another one than before. */
static bool
enter(struct jail_report *report, enum jail_layer layer, int flag,
    const char *name)
{
	char path[32], before[64] = "", after[64] = "";

	(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	if (readlink(path, before, sizeof(before) - 1) < 0) {
		jail_down(report, layer, path, errno);
		return false;
	}
	if (unshare(flag) < 0) {
		jail_down(report, layer, "unshare", errno);
		return false;
	}
	if (readlink(path, after, sizeof(after) - 1) < 0 ||
	    strcmp(before, after) == 0) {
		jail_down(report, layer, "still in the old one", 0);
		return false;
	}
	jail_up(report, layer);
	return true;
}

/* A network without so much as a loopback that is up. */
static void
check_network(struct jail_report *report)
{
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_in to = {
	    .sin_family = AF_INET,
	    .sin_port = htons(1),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	if (fd < 0 && errno == EAFNOSUPPORT)
		return; /* a kernel without IPv4 */
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ||
	    errno != ENETUNREACH)
		jail_down(report, JAIL_NET_NS, "127.0.0.1 is reachable", 0);
}

void
jail_namespaces(struct jail_report *report)
{
	if (enter(report, JAIL_NET_NS, CLONE_NEWNET, "net"))
		check_network(report);
	(void)enter(report, JAIL_IPC_NS, CLONE_NEWIPC, "ipc");
	(void)enter(report, JAIL_UTS_NS, CLONE_NEWUTS, "uts");
	(void)enter(report, JAIL_CGROUP_NS, CLONE_NEWCGROUP, "cgroup");
	if (getpid() == 1)
		jail_up(report, JAIL_PID_NS);
	else
		jail_down(report, JAIL_PID_NS, "not started as pid 1", 0);
}

/* Any folder will do: it is covered, not written to. */
static int
mount_empty(void)
{
	static const char *const folders[] = {"/tmp", "/proc", "/dev", "/sys"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (mount("perilune", folders[i], "tmpfs",
			MS_NOSUID | MS_NODEV | MS_NOEXEC,
			"size=4k,nr_inodes=2,mode=0555") == 0)
			return chdir(folders[i]);
	return -1;
}

/* Returns NULL, or which step failed with errno.  pivot_root(2), "." twice. */
static const char *
change_root(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "private mounts";
	if (mount_empty() < 0)
		return "tmpfs";
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return "pivot_root";
	if (umount2(".", MNT_DETACH) < 0)
		return "detach the old root";
	if (mount(NULL, "/", NULL,
		MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		NULL) < 0)
		return "read-only";
	if (chdir("/") < 0)
		return "chdir";
	return NULL;
}

static bool
root_is_empty(void)
{
	struct statfs fs;

	if (statfs("/", &fs) < 0 || (unsigned long)fs.f_type != TMPFS_MAGIC ||
	    ((unsigned long)fs.f_flags & ST_RDONLY) == 0)
		return false;
	if (open("/proc", O_PATH | O_CLOEXEC) >= 0 || errno != ENOENT)
		return false;
	/* ".." would enter an old root still mounted on top */
	if (open("/../proc", O_PATH | O_CLOEXEC) >= 0 || errno != ENOENT)
		return false;
	return open("/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0 &&
	    errno == EROFS;
}

void
jail_empty_root(struct jail_report *report)
{
	const char *failed;

	if (!enter(report, JAIL_MOUNT_NS, CLONE_NEWNS, "mnt"))
		return;
	failed = change_root();
	if (failed != NULL)
		jail_down(report, JAIL_MOUNT_NS, failed, errno);
	else if (!root_is_empty())
		jail_down(report, JAIL_MOUNT_NS, "the root is not empty", 0);
}
