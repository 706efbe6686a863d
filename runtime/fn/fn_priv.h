/*
 * fn_priv.h - what the files behind fn.h and catalog.h share about loading.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing.
 */
#pragma once

#include "runtime/fn/fn.h"

/* Entries of one function's folders, or of _lib, that are looked at. */
#define FN_ENTRIES_MAX 10000

/* A version with the defaults, one reference, no modules and no hash. */
struct fn_version *fn_version_new(const char *name);

/* SHA-256 over the manifest's bytes and each module's name and source. */
void fn_version_hash(struct fn_version *version, struct slice manifest);

/* Call found for each "_lib.x" in a string of this Lua source; may repeat. */
void fn_requires(struct slice source,
    void (*found)(struct slice module, void *arg), void *arg);

/* Why a file is read, which decides how fresh it may be (see load.c). */
enum fn_trust {
	FN_TRUST_ALL,	 /* a person asked: read what is there */
	FN_TRUST_CLOSED, /* somebody closed it, or renamed it in */
	FN_TRUST_NONE,	 /* found by a scan: it may be half-written */
};

/* One look into the functions directory. */
struct fn_look {
	int dirfd;
	enum fn_trust trust;
	/* Called for each folder of the function before its entries are read;
	 * NULL: nobody wants to know. */
	void (*on_folder)(int fd, void *arg);
	void *arg;
};

/* What was seen besides the version; filled on failure too. */
struct fn_seen {
	uint64_t signature; /* fn_signature of what was read */
	bool uses_lib;	    /* or may: it could not be read */
};

/*
 * fn_load, looking as `look` says.  A file that is being written is
 * ERR_SYSTEM with EAGAIN: try again in a moment.
 */
struct fn_version *fn_load_look(const struct fn_look *look, const char *name,
    struct fn_seen *seen_out, struct err *err);

/*
 * One number for names, inodes, sizes and times of everything that fn_load
 * would read of function NAME (without _lib; "_lib" names _lib itself).  Two
 * equal ones mean that nothing was touched; 0: nothing is there.
 */
uint64_t fn_signature(const struct fn_look *look, const char *name);

/* openat2 that follows no link and never leaves dirfd. */
int fn_open_beneath(int dirfd, const char *path, int flags);
