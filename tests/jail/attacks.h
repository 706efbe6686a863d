/*
 * attacks.h - what a compromised worker tries, and how it must end.
 *
 * Runs in: tests.
 *
 * attacks.c starts a zygote and judges what it reports; inside.c is that
 * zygote: it jails itself and forks one worker per case, by the product's own
 * functions.  calls.c has the system calls as a table, native.c what takes
 * more than a system call.
 */
#pragma once

#include "sandbox/jail/jail.h"

#include <stddef.h>

/* How a case may end; several where processors or kernels differ. */
#define ENDS_KILLED  1u	 /* SIGSYS */
#define ENDS_SEGV    2u	 /* SIGSEGV */
#define ENDS_ILL     4u	 /* SIGILL */
#define ENDS_RETURNS 8u	 /* exit status ATTACK_RETURNED: nothing happened */
#define ENDS_EXITS_0 16u /* exit status 0 */

#define ATTACK_RETURNED	  66 /* what was tried came back */
#define ATTACK_NOT_JAILED 67
#define ATTACK_ENXIO	  68 /* the sweep: came back with ENXIO */

/* In args: the process ids of another worker and of the zygote, and a folder
 * that anybody may write to. */
#define ARG_SIBLING (-77001L)
#define ARG_ZYGOTE  (-77002L)
#define ARG_FILE    (-77003L)

struct call {
	const char *name;
	long nr;
	long args[6];
};

struct native {
	const char *name;
	void (*run)(void);
	unsigned int ends;
};

extern const struct call attack_calls[];
extern const size_t attack_calls_n;
extern const struct native attack_natives[];
extern const size_t attack_natives_n;

/* What the zygote tells, over descriptor 3: first a u32 length and so many
 * bytes (i32 jail_zygote's result, str its error, the report, i32
 * jail_self_test's result, str its lines), then these. */
enum attack_kind {
	ATTACK_READY,	/* another worker runs; waits for a byte from outside */
	ATTACK_CALL,	/* index in attack_calls */
	ATTACK_NATIVE,	/* index in attack_natives */
	ATTACK_SWEEP,	/* index: the number, as it was called */
	ATTACK_CLOSED,	/* the other worker closed what it inherited: jailed */
	ATTACK_SIBLING, /* the other worker still answers: jailed; its status */
	ATTACK_LEFT,	/* index: processes that were left */
};

struct attack_record {
	enum attack_kind kind;
	unsigned int index;
	int status; /* from wait */
	int jailed; /* it was past jail_worker() when it ended */
};

#define SWEEP_NUMBERS 1024
#define SWEEP_X32     0x40000000u
#define SWEEP_BIT_31  0x80000000u

/* The zygote, with its socket as descriptor 3.  config as for jail_zygote. */
_Noreturn void attack_zygote(const struct jail_zygote_config *config,
    const char *file);

/* What the cases need to know; set by inside.c before the first fork. */
struct attack_world {
	long sibling;	  /* pid of another worker */
	long zygote;	  /* pid of the zygote */
	char file[64];	  /* a path that should never exist */
	void *heap_bytes; /* from malloc */
};

extern struct attack_world attack_world;
