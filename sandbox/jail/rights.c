/*
 * rights.c - ids, capabilities and Landlock.
 *
 * Runs in: zygote.
 *
 * A process that was started as root gives that up for good; one in a user
 * namespace gives up the powers it has inside.
 */
#include "sandbox/base/cleanup.h"
#include "sandbox/jail/jail_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITIES_MAX 64 /* bits in a capability set */

/* linux/landlock.h of newer kernels. */
#define ABI_NET	       4
#define ABI_SCOPE      6
#define RULESET_FS     8  /* bytes of the struct before ABI 4 */
#define RULESET_NET    16 /* before ABI 6 */
#define NET_RIGHTS     UINT64_C(3)
#define SCOPE_ABSTRACT UINT64_C(1)
#define SCOPE_SIGNAL   UINT64_C(2)

struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

/* All file rights that this ABI knows. */
static uint64_t
fs_rights(int abi)
{
	unsigned int bits = 13; /* execute .. make_sym */

	if (abi >= 2)
		bits = 14; /* refer */
	if (abi >= 3)
		bits = 15; /* truncate */
	if (abi >= 5)
		bits = 16; /* ioctl on devices */
	return (UINT64_C(1) << bits) - 1;
}

static size_t
ruleset_bytes(int abi)
{
	if (abi < ABI_NET)
		return RULESET_FS;
	return abi < ABI_SCOPE ? RULESET_NET : sizeof(struct ruleset);
}

static int
create_ruleset(int abi, uint64_t scoped)
{
	const struct ruleset rules = {
	    .fs = fs_rights(abi),
	    .net = NET_RIGHTS,
	    .scoped = scoped,
	};

	return (int)syscall(SYS_landlock_create_ruleset, &rules,
	    ruleset_bytes(abi), 0);
}

/* Some distributions report ABI 6 without the signal scope. */
static int
open_ruleset(int abi)
{
	static const uint64_t scopes[] = {SCOPE_ABSTRACT | SCOPE_SIGNAL,
	    SCOPE_ABSTRACT, 0};

	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		int fd = create_ruleset(abi, scopes[i]);

		if (fd >= 0 || errno != EINVAL)
			return fd;
	}
	return -1;
}

/* No rule at all: whatever the kernel can forbid is forbidden. */
void
jail_landlock(struct jail_report *report)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	auto_close int ruleset = abi < 0 ? -1 : open_ruleset(abi);
	int root;

	if (ruleset < 0) {
		jail_down(report, JAIL_LANDLOCK, "landlock_create_ruleset",
		    errno);
		return;
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
		jail_down(report, JAIL_LANDLOCK, "landlock_restrict_self",
		    errno);
		return;
	}
	root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0)
		(void)close(root);
	jail_judge(report, JAIL_LANDLOCK, root < 0 && errno == EACCES,
	    "the root can still be opened");
}

/* All three ids of the kind are `id`. */
static bool
are_uid(uid_t id)
{
	uid_t real, effective, saved;

	return getresuid(&real, &effective, &saved) == 0 && real == id &&
	    effective == id && saved == id;
}

static bool
are_gid(gid_t id)
{
	gid_t real, effective, saved;

	return getresgid(&real, &effective, &saved) == 0 && real == id &&
	    effective == id && saved == id;
}

/* Started as root: become who we are to be.  -1 with errno. */
static int
become(const struct jail_ids *ids)
{
	if (!ids->change)
		return 0;
	if (setgroups(0, NULL) < 0 ||
	    setresgid(ids->gid, ids->gid, ids->gid) < 0)
		return -1;
	return setresuid(ids->uid, ids->uid, ids->uid);
}

void
jail_drop_ids(const struct jail_ids *ids, struct jail_report *report)
{
	if (become(ids) < 0)
		jail_down(report, JAIL_UNPRIVILEGED, "setresuid", errno);
	else if (!ids->known)
		jail_down(report, JAIL_UNPRIVILEGED,
		    "cannot tell the ids outside (/proc/self/uid_map)", 0);
	else if (!are_uid(ids->uid) || !are_gid(ids->gid))
		jail_down(report, JAIL_UNPRIVILEGED, "ids did not change", 0);
	else if (ids->outer_uid == 0 || ids->outer_gid == 0)
		jail_down(report, JAIL_UNPRIVILEGED,
		    "root outside: name another user", 0);
	else if (ids->change && setresuid(0, 0, 0) == 0)
		jail_down(report, JAIL_UNPRIVILEGED, "root came back", 0);
	else
		jail_up(report, JAIL_UNPRIVILEGED);
}

/*
 * While we still have the right to: nothing that is executed could get a
 * capability back, uid 0 included.  capabilities(7).
 */
void
jail_bounding_set(struct jail_report *report)
{
	int error = 0;

	for (unsigned long cap = 0; cap < CAPABILITIES_MAX; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			error = errno;
	for (unsigned long cap = 0; cap < CAPABILITIES_MAX; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) {
			jail_down(report, JAIL_BOUNDING_SET, "capbset drop",
			    error);
			return;
		}
	(void)prctl(PR_SET_SECUREBITS,
	    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED,
	    0, 0, 0);
	jail_up(report, JAIL_BOUNDING_SET);
}

static bool
no_ambient(void)
{
	for (unsigned long cap = 0; cap < CAPABILITIES_MAX; cap++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) ==
		    1)
			return false;
	return true;
}

void
jail_capabilities(struct jail_report *report)
{
	struct __user_cap_header_struct header = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	static const struct __user_cap_data_struct none[2];
	struct __user_cap_data_struct have[2];

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0 ||
	    syscall(SYS_capget, &header, have) < 0) {
		jail_down(report, JAIL_CAPABILITIES, "capset", errno);
		return;
	}
	if (memcmp(have, none, sizeof(have)) == 0 && no_ambient())
		jail_up(report, JAIL_CAPABILITIES);
	else
		jail_down(report, JAIL_CAPABILITIES, "some are left", 0);
}
