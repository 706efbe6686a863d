/*
 * below.c - see below.h.
 *
 * Runs in: gateway.
 */
#include "runtime/hostcall/below.h"

#include "sandbox/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int
below_open(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
	    .flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
	    .mode = mode,
	    .resolve =
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dirfd, path[0] == '\0' ? "." : path,
	    &how, sizeof(how));
}

/* Open the folder that is named so in dirfd; make it when it is missing. */
static int
step(int dirfd, const char *name)
{
	int fd = below_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(dirfd, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return below_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
}

int
below_mkdirs(int dirfd, const char *path)
{
	int fd = below_open(dirfd, "", O_RDONLY | O_DIRECTORY, 0);
	char name[NAME_MAX + 1];

	while (fd >= 0 && *path != '\0') {
		auto_close int parent = fd;
		size_t n = strcspn(path, "/");

		if (!slice_copy(name, sizeof(name), slice_from(path, n))) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = step(parent, name);
		path += n + (path[n] == '/');
	}
	return fd;
}

/*
 * How many bytes the printable character at p takes; 0: none.  RFC 3629,
 * section 4, less C0, DEL and C1.
 */
static size_t
printable_bytes(const unsigned char *p, size_t n)
{
	size_t want;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
	want = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (want == 0 || want > n || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < want; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) ||
	    (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return want;
}

bool
below_printable(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0; i < s.n;) {
		size_t n = printable_bytes(p + i, s.n - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
