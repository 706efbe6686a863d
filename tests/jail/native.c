/*
 * native.c - what takes more than a system call: other entries to the kernel,
 * clocks, privileged instructions, code where data is; and what is allowed.
 *
 * Runs in: tests.
 *
 * The cases at the end are controls: they must work, or the others prove
 * nothing.
 */
#include "tests/jail/attacks.h"

#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ASM __asm__ volatile

/* N20: the 32-bit table.  20 is getpid there, 252 exit_group, 4 write. */
static void
int80(long nr, long arg)
{
	ASM("int $0x80"
	    : "+a"(nr)
	    : "b"(arg), "c"(0L), "d"(0L)
	    : "memory", "r8", "r9", "r10", "r11");
}

static void
int80_getpid(void)
{
	int80(20, 0);
}

static void
int80_exit_group(void)
{
	int80(252, 0);
}

static void
int80_write(void)
{
	int80(4, 3);
}

/* N21.  The kernel comes back to a place of its own choice, not here. */
static void
sysenter(void)
{
	ASM("mov $20, %%eax\n\t"
	    "mov %%rsp, %%rbp\n\t"
	    "sysenter"
	    :
	    :
	    : "rax", "memory");
	__builtin_unreachable();
}

/* N24: where old programs found time(). */
static void
vsyscall_page(void)
{
	long (*vtime)(long *) = (long (*)(long *))0xffffffffff600400UL;

	(void)vtime(NULL);
}

/* N27 */
static void
rdtsc(void)
{
	ASM("rdtsc" : : : "rax", "rdx");
}

static void
rdtscp(void)
{
	ASM("rdtscp" : : : "rax", "rcx", "rdx");
}

static void
rdpmc(void)
{
	ASM("rdpmc" : : "c"(0) : "rax", "rdx");
}

static void
rdpru(void)
{
	ASM(".byte 0x0f, 0x01, 0xfd" : : "c"(0) : "rax", "rdx");
}

static void
vdso_clock(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
}

/* N28 */
static void
halt(void)
{
	ASM("hlt");
}

static void
port_in(void)
{
	ASM("inb $0x80, %%al" : : : "rax");
}

static void
port_out(void)
{
	ASM("outb %%al, $0x80" : : "a"(0));
}

static void
clear_interrupts(void)
{
	ASM("cli");
}

static void
undefined(void)
{
	ASM("ud2");
}

static void
write_null(void)
{
	ASM("movl $1, (%0)" : : "r"(0L) : "memory");
}

static volatile int bottomless = 1;

static int
recurse(int depth)
{
	volatile char frame[512];

	frame[depth & 511] = (char)depth;
	if (bottomless)
		depth = recurse(depth + 1);
	return depth + frame[0];
}

static void
infinite_recursion(void)
{
	(void)recurse(0);
}

/* N15: "ret" as data. */
static void
jump(void *p)
{
	ASM("call *%0" : : "r"(p) : "memory");
}

static void
jump_into_heap(void)
{
	memset(attack_world.heap_bytes, 0xc3, 16);
	jump(attack_world.heap_bytes);
}

static void
jump_into_stack(void)
{
	char code[16];

	memset(code, 0xc3, sizeof(code));
	jump(code);
}

static void
jump_into_data(void)
{
	static char code[16];

	memset(code, 0xc3, sizeof(code));
	jump(code);
}

/* Allowed, because the interrupt at the deadline needs it; a forged frame
 * gives an attacker nothing but the registers that he has already. */
static void
forged_sigreturn(void)
{
	ASM("xor %%esp, %%esp\n\t"
	    "mov $15, %%eax\n\t"
	    "syscall"
	    :
	    :
	    : "rax", "rcx", "r11", "memory");
	__builtin_unreachable();
}

/* N33: a signal to itself would be a second thread of control. */
static void
raise_signal(void)
{
	(void)raise(SIGUSR1);
}

static void
abort_itself(void)
{
	abort();
}

/* N39: allowed, and no way out. */
static void
harmless_instructions(void)
{
	unsigned int a, b, c, d;
	char line[64];

	if (!__get_cpuid(1, &a, &b, &c, &d))
		_exit(1);
	if ((d & (1u << 19)) != 0)
		ASM("clflush (%0)" : : "r"(line) : "memory");
	if ((c & bit_RDRND) != 0)
		ASM("rdrand %%rax" : : : "rax", "cc");
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 22)) != 0)
		ASM("rdpid %%rax" : : : "rax");
}

/* What every worker does. */
static void
read_nothing(void)
{
	if (syscall(SYS_read, 3, NULL, 0) != 0)
		_exit(1);
}

static void
write_nothing(void)
{
	if (syscall(SYS_write, 3, NULL, 0) != 0)
		_exit(1);
}

static void
exit_0(void)
{
	_exit(0);
}

static void
malloc_of_what_is_warm(void)
{
	char *volatile p = malloc((size_t)512 * 1024);

	if (p == NULL)
		_exit(1);
	memset(p, 1, (size_t)512 * 1024);
	free(p);
}

static void
print_a_long_number(void)
{
	char text[512];
	volatile double big = 1e300;

	if (snprintf(text, sizeof(text), "%.99f", big) < 300)
		_exit(1);
}

#define FATAL (ENDS_SEGV | ENDS_ILL)

const struct native attack_natives[] = {
    {"int 0x80 getpid", int80_getpid, ENDS_KILLED | ENDS_SEGV},
    {"int 0x80 exit_group", int80_exit_group, ENDS_KILLED | ENDS_SEGV},
    {"int 0x80 write", int80_write, ENDS_KILLED | ENDS_SEGV},
    {"sysenter", sysenter, ENDS_KILLED | FATAL},
    {"vsyscall page", vsyscall_page, ENDS_KILLED | ENDS_SEGV},
    {"rdtsc", rdtsc, ENDS_SEGV},
    {"rdtscp", rdtscp, FATAL},
    {"rdpmc", rdpmc, ENDS_SEGV},
    {"rdpru", rdpru, FATAL},
    {"vDSO clock", vdso_clock, ENDS_KILLED | ENDS_SEGV},
    {"hlt", halt, ENDS_SEGV},
    {"in", port_in, ENDS_SEGV},
    {"out", port_out, ENDS_SEGV},
    {"cli", clear_interrupts, ENDS_SEGV},
    {"ud2", undefined, ENDS_ILL},
    {"write to null", write_null, ENDS_SEGV},
    {"infinite recursion", infinite_recursion, ENDS_SEGV},
    {"jump into the heap", jump_into_heap, ENDS_SEGV},
    {"jump into the stack", jump_into_stack, ENDS_SEGV},
    {"jump into data", jump_into_data, ENDS_SEGV},
    {"forged sigreturn frame", forged_sigreturn, ENDS_SEGV},
    {"raise", raise_signal, ENDS_KILLED},
    {"abort", abort_itself, ENDS_KILLED},

    {"control: harmless instructions", harmless_instructions, ENDS_RETURNS},
    {"control: read 3", read_nothing, ENDS_RETURNS},
    {"control: write 3", write_nothing, ENDS_RETURNS},
    {"control: exit_group", exit_0, ENDS_EXITS_0},
    {"control: malloc of 512 KiB", malloc_of_what_is_warm, ENDS_RETURNS},
    {"control: print a long number", print_a_long_number, ENDS_RETURNS},
};

const size_t attack_natives_n =
    sizeof(attack_natives) / sizeof(attack_natives[0]);
