/*
 * attacks.c - the wall against native code, from outside.
 *
 * Runs in: tests.
 * Owns:    the zygote it starts and the folder it watches.
 *
 *	attacks root | userns | exec | degraded
 *
 * The same cases in the ways Perilune can run: started as root, unprivileged
 * with a user namespace (mapped by the zygote itself, or by its starter before
 * an exec), and with no namespace at all (then the filter and what needs no
 * privilege hold alone).  The outcome must not differ.  Output is TAP, one line per case and one per sweep.
 *
 * Nothing a zygote says is believed where this process can look for itself:
 * its /proc entry, the folder, the processes left.
 */
#include "tests/jail/attacks.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"
#include "sandbox/wire/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY	      65534
#define ADDRESS_SPACE ((size_t)256 * 1024 * 1024)

static unsigned int checks, failures;
static unsigned int records[ATTACK_LEFT + 1]; /* of each kind */

static const struct mode {
	const char *name;
	bool as_root;	    /* started as root, and stays so until jailed */
	unsigned int flags; /* of the clone that makes the zygote */
	bool exec;	    /* the starter maps the ids, then execs */
} modes[] = {
    {"root", true, CLONE_NEWPID, false},
    {"userns", false, CLONE_NEWPID | CLONE_NEWUSER, false},
    {"exec", false, CLONE_NEWPID | CLONE_NEWUSER, true},
    {"degraded", false, 0, false},
};

static bool
check(bool ok, const char *name, const char *detail)
{
	checks++;
	if (!ok)
		failures++;
	printf("%s %u - %s%s%s\n", ok ? "ok" : "not ok", checks, name,
	    ok ? "" : ": ", ok ? "" : detail);
	return ok;
}

static void
skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

/* What a wait status says, in one word. */
static const char *
outcome(const struct attack_record *r)
{
	static char text[64];

	if (!r->jailed)
		return "died before the jail";
	if (WIFSIGNALED(r->status))
		(void)snprintf(text, sizeof(text), "SIG%s%s",
		    sigabbrev_np(WTERMSIG(r->status)),
		    WCOREDUMP(r->status) ? " with a core file" : "");
	else if (WEXITSTATUS(r->status) == ATTACK_RETURNED)
		return "came back";
	else
		(void)snprintf(text, sizeof(text), "exit %d",
		    WEXITSTATUS(r->status));
	return text;
}

/* Which ENDS_ bit it is; 0 for none of them. */
static unsigned int
ending(const struct attack_record *r)
{
	if (!r->jailed)
		return 0;
	if (WIFEXITED(r->status) && WEXITSTATUS(r->status) == ATTACK_RETURNED)
		return ENDS_RETURNS;
	if (WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0)
		return ENDS_EXITS_0;
	if (!WIFSIGNALED(r->status) || WCOREDUMP(r->status))
		return 0;
	switch (WTERMSIG(r->status)) {
	case SIGSYS:
		return ENDS_KILLED;
	case SIGSEGV:
		return ENDS_SEGV;
	case SIGILL:
		return ENDS_ILL;
	default:
		return 0;
	}
}

/*
 * How a number may end in the sweep.  335 and 336 are uretprobe and uprobe,
 * which kernels from 6.14 and 6.18 on let past any filter; they do nothing for
 * a process without such a probe.
 */
static bool
sweep_ends_right(const struct attack_record *r)
{
	switch (r->index) {
	case SYS_read:
	case SYS_write:
		return ending(r) == ENDS_RETURNS;
	case SYS_rt_sigreturn:
		return ending(r) == ENDS_SEGV;
	case SYS_exit_group:
		return r->jailed && WIFEXITED(r->status) &&
		    WEXITSTATUS(r->status) == 3;
	case 335:
		return (ending(r) & (ENDS_KILLED | ENDS_ILL)) != 0;
	case 336:
		return ending(r) == ENDS_KILLED ||
		    (r->jailed && WIFEXITED(r->status) &&
			WEXITSTATUS(r->status) == ATTACK_ENXIO);
	default:
		return ending(r) == ENDS_KILLED;
	}
}

/* One TAP line per table of SWEEP_NUMBERS, at its last number. */
static void
judge_sweep(const struct attack_record *r)
{
	static unsigned int wrong, seen;
	char name[64];

	seen++;
	if (!sweep_ends_right(r)) {
		wrong++;
		printf("# number 0x%x: %s\n", r->index, outcome(r));
	}
	if (r->index % SWEEP_NUMBERS != SWEEP_NUMBERS - 1)
		return;
	(void)snprintf(name, sizeof(name), "numbers 0x%x to 0x%x",
	    r->index - SWEEP_NUMBERS + 1, r->index);
	check(wrong == 0 && seen == SWEEP_NUMBERS, name, "see above");
	wrong = seen = 0;
}

static void
judge_native(const struct attack_record *r)
{
	const struct native *native;

	if (r->index >= attack_natives_n) {
		check(false, "native case", "there is no such");
		return;
	}
	native = &attack_natives[r->index];
	check((ending(r) & native->ends) != 0, native->name, outcome(r));
}

static void
judge_call(const struct attack_record *r)
{
	if (r->index >= attack_calls_n)
		check(false, "system call", "there is no such");
	else
		check(ending(r) == ENDS_KILLED, attack_calls[r->index].name,
		    outcome(r));
}

static void
judge(const struct attack_record *r)
{
	if ((unsigned int)r->kind <= ATTACK_LEFT)
		records[r->kind]++;
	switch (r->kind) {
	case ATTACK_CALL:
		judge_call(r);
		break;
	case ATTACK_NATIVE:
		judge_native(r);
		break;
	case ATTACK_SWEEP:
		judge_sweep(r);
		break;
	case ATTACK_CLOSED:
		check(r->jailed, "a worker closes what it inherited", "open");
		break;
	case ATTACK_SIBLING:
		check(r->jailed && r->status == 0,
		    "another worker is alive and unharmed", "it is not");
		break;
	case ATTACK_LEFT:
		check(r->index == 0, "no process is left inside", "some are");
		break;
	case ATTACK_READY:
		break;
	}
}

static bool
read_full(int fd, void *p, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)p + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

/* Layers that the mode must have, or cannot have. */
static void
judge_report(const struct mode *mode, const struct jail_report *report)
{
	for (unsigned int i = 0; i < JAIL_LAYERS; i++) {
		enum jail_layer layer = (enum jail_layer)i;
		enum jail_need need = jail_layer_need(layer);
		char name[64];

		printf("# %s: %s\n", jail_layer_name(layer),
		    report->active[i] ? "up" : report->why[i]);
		if (need == JAIL_WARN)
			continue;
		(void)snprintf(name, sizeof(name), "layer %s is %s",
		    jail_layer_name(layer),
		    need == JAIL_NAMED && mode->flags == 0 ? "missing" : "up");
		check(report->active[i] ==
			(need == JAIL_ALWAYS || mode->flags != 0),
		    name, report->why[i]);
	}
}

static bool
judge_start(const struct mode *mode, int fd)
{
	struct jail_report report;
	struct slice said, lines;
	struct wire_reader r;
	struct err err = {0};
	uint8_t bytes[16384];
	uint32_t n, rc, wrong;

	if (!read_full(fd, &n, sizeof(n)) || n > sizeof(bytes) ||
	    !read_full(fd, bytes, n))
		return check(false, "the zygote reports", "it died");
	r = (struct wire_reader){bytes, n, false};
	rc = wire_get_u32(&r);
	said = wire_get_str(&r);
	if (!check(rc == 0, "the jail goes up",
		said.n == 0 ? "no reason" : said.p))
		return false;
	if (!check(jail_report_get(&r, &report, &err) == 0,
		"its report is sound", err.msg))
		return false;
	wrong = wire_get_u32(&r);
	lines = wire_get_str(&r);
	judge_report(mode, &report);
	printf("# self-test: wrong %d of\n", (int)wrong);
	for (size_t i = 0, from = 0; i < lines.n; i++)
		if (lines.p[i] == '\n') {
			printf("#   %.*s\n", (int)(i - from), lines.p + from);
			from = i + 1;
		}
	check(wrong == 0 && wire_got_all(&r) && lines.n > 0,
	    "the self-test passes", "see above");
	return true;
}

static bool
has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	return at != NULL && (at == text || at[-1] == '\n');
}

/* The kernel's word on a jailed process. */
static void
judge_status(pid_t pid, const char *whose, const char *filters)
{
	const char *const lines[] = {"NoNewPrivs:\t1\n", "Seccomp:\t2\n",
	    filters, "CapInh:\t0000000000000000\n",
	    "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
	    "CapAmb:\t0000000000000000\n"};
	char path[64], name[128], text[8192];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)snprintf(name, sizeof(name), "the %s has %.*s", whose,
		    (int)strcspn(lines[i], "\n"), lines[i]);
		check(has_line(text, lines[i]), name, "it has not");
	}
	check(!has_line(text, "Uid:\t0\t") && has_line(text, "Uid:"),
	    "its uid outside is not 0", "it is");
}

/* The one child of the zygote, from outside; 0 if there is not exactly one. */
static pid_t
child_of(pid_t parent)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;
	int n = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char path[300], text[512] = "";
		const char *after;
		int fd;

		(void)snprintf(path, sizeof(path), "/proc/%s/stat",
		    entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) > 0 &&
		    (after = strrchr(text, ')')) != NULL &&
		    atoi(after + 4) == parent) {
			found = (pid_t)atoi(entry->d_name);
			n++;
		}
		(void)close(fd);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return n == 1 ? found : 0;
}

/* Only root may look; the worker is not dumpable. */
static void
judge_descriptors(pid_t worker)
{
	char path[64];
	struct dirent *entry;
	int total = 0, wrong = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", worker);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.') {
			total++;
			wrong += strcmp(entry->d_name, "3") != 0;
		}
	if (dir != NULL)
		(void)closedir(dir);
	check(total == 1 && wrong == 0,
	    "a worker has descriptor 3 and no other", "it has others");
}

static void
look_inside(const struct mode *mode, pid_t zygote)
{
	pid_t worker = child_of(zygote);

	judge_status(zygote, "zygote", "Seccomp_filters:\t1\n");
	if (check(worker != 0, "the zygote has one worker", "it has not"))
		judge_status(worker, "worker", "Seccomp_filters:\t2\n");
	if (mode->as_root)
		judge_descriptors(worker);
}

/* Whatever was there to be seen from outside afterwards. */
static void
judge_aftermath(pid_t zygote, const char *folder, const char *file)
{
	int status = -1;

	while (waitpid(zygote, &status, 0) < 0 && errno == EINTR)
		;
	check(status == 0, "the zygote lived through it", "it did not");
	check(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD,
	    "no process is left outside", "some are");
	check(access(file, F_OK) < 0 && errno == ENOENT, "no file was created",
	    "there is one");
	check(rmdir(folder) == 0, "the folder is empty", "it is not");
}

static void
become_nobody(void)
{
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0) {
		perror("becoming nobody");
		exit(1);
	}
	/* a starter that execs is dumpable again: /proc/self is its own */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static struct jail_zygote_config
config_of(const struct mode *mode)
{
	return (struct jail_zygote_config){
	    .uid = mode->as_root ? NOBODY : getuid(),
	    .gid = mode->as_root ? NOBODY : getgid(),
	    .user_namespace = (mode->flags & CLONE_NEWUSER) != 0,
	    .address_space_bytes = ADDRESS_SPACE,
	};
}

static void
write_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(1);
}

/* As a starter must that execs: uid 0 inside keeps the capabilities. */
static void
map_and_exec(const struct jail_zygote_config *config, const char *file)
{
	char line[64];

	write_file("/proc/self/setgroups", "deny");
	(void)snprintf(line, sizeof(line), "0 %u 1", config->uid);
	write_file("/proc/self/uid_map", line);
	(void)snprintf(line, sizeof(line), "0 %u 1", config->gid);
	write_file("/proc/self/gid_map", line);
	(void)execl("/proc/self/exe", "attacks", "inside", file, (char *)NULL);
	_exit(1);
}

/* clone(), the zygote's end of the pair as descriptor 3. */
static pid_t
start_zygote(const struct mode *mode, const int pair[2], const char *file)
{
	const struct jail_zygote_config config = config_of(mode);
	pid_t pid;

	(void)fflush(stdout);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD | mode->flags, 0, 0, 0, 0);
	if (pid != 0)
		return pid;
	if (dup2(pair[1], JAIL_SOCKET) < 0)
		_exit(1);
	if (mode->exec)
		map_and_exec(&config, file);
	attack_zygote(&config, file);
}

static void
run(const struct mode *mode)
{
	char folder[] = "/tmp/perilune-jail-XXXXXX", file[64];
	struct attack_record r;
	int pair[2];
	pid_t zygote;

	if (mkdtemp(folder) == NULL || chmod(folder, 0777) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
		perror("set-up");
		exit(1);
	}
	(void)snprintf(file, sizeof(file), "%s/made", folder);
	zygote = start_zygote(mode, pair, file);
	if (zygote < 0) {
		(void)rmdir(folder);
		skip_all("this host gives no such namespaces");
	}
	(void)close(pair[1]);
	if (judge_start(mode, pair[0]))
		while (read_full(pair[0], &r, sizeof(r))) {
			judge(&r);
			if (r.kind != ATTACK_READY)
				continue;
			look_inside(mode, zygote);
			if (write(pair[0], "g", 1) != 1)
				break;
		}
	(void)close(pair[0]); /* a zygote that waits for us waits no longer */
	judge_aftermath(zygote, folder, file);
}

/* A zygote that stopped early must not look like one that passed. */
static void
judge_count(void)
{
	check(records[ATTACK_CALL] == attack_calls_n &&
		records[ATTACK_NATIVE] == attack_natives_n &&
		records[ATTACK_SWEEP] == 3 * SWEEP_NUMBERS &&
		records[ATTACK_CLOSED] == 1 && records[ATTACK_SIBLING] == 1 &&
		records[ATTACK_LEFT] == 1,
	    "every case was reported", "some were not");
}

int
main(int argc, char **argv)
{
	const struct mode *mode = NULL;

	if (argc == 3 && strcmp(argv[1], "inside") == 0) {
		const struct jail_zygote_config config = config_of(&modes[2]);

		attack_zygote(&config, argv[2]);
	}
	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			mode = &modes[i];
	if (mode == NULL) {
		(void)fprintf(stderr,
		    "usage: attacks root|userns|exec|degraded\n");
		return 2;
	}
	if (mode->as_root && geteuid() != 0)
		skip_all("needs root");
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (!mode->as_root)
		become_nobody();
	run(mode);
	judge_count();
	printf("1..%u\n", checks);
	return failures != 0;
}
