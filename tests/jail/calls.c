/*
 * calls.c - every door of the kernel that matters, by name.
 *
 * Runs in: tests.
 *
 * Each line is one call that ends its caller by SIGSYS.  The arguments are
 * such that the call would do something if it were let through.  The sweep in
 * attacks.c covers all other numbers.
 */
#include "tests/jail/attacks.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define P(x) ((long)(x))

/* Numbers newer than the headers we build with. */
#define NR_MEMFD_SECRET	      447
#define NR_CACHESTAT	      451
#define NR_FCHMODAT2	      452
#define NR_MAP_SHADOW_STACK   453
#define NR_FUTEX_WAKE	      454
#define NR_STATMOUNT	      457
#define NR_LISTMOUNT	      458
#define NR_LSM_SET_SELF_ATTR  460
#define NR_MSEAL	      462
#define NR_OPEN_TREE_ATTR     467
#define NR_FIRST_FREE_AT_HAND 470

static char page[4096] __attribute__((aligned(4096)));
static char byte;
static int pair[2];
static long zeros[32];
static char *const no_strings[] = {NULL};
static const struct iovec iov = {&byte, 1};
static const struct sigaction action;
static const struct sched_param lowest;
static const struct open_how {
	unsigned long long flags, mode, resolve;
} how;

/* A message that carries descriptor 3. */
static union {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
static const struct msghdr message = {
    .msg_iov = (struct iovec[]){{&byte, 1}},
    .msg_iovlen = 1,
    .msg_control = control.bytes,
    .msg_controllen = sizeof(control.bytes),
};

const struct call attack_calls[] = {
    /* N1 files */
    {"openat /etc/passwd", SYS_openat, {AT_FDCWD, P("/etc/passwd"), O_RDONLY}},
    {"open /proc/self/mem", SYS_open, {P("/proc/self/mem"), O_RDWR}},
    {"open .", SYS_open, {P("."), O_RDONLY}},
    {"openat2", SYS_openat2, {AT_FDCWD, P("."), P(&how), sizeof(how)}},
    {"creat", SYS_creat, {ARG_FILE, 0600}},
    {"openat O_CREAT", SYS_openat,
	{AT_FDCWD, ARG_FILE, O_CREAT | O_RDWR, 0600}},
    {"openat O_TMPFILE", SYS_openat,
	{AT_FDCWD, P("/tmp"), O_TMPFILE | O_RDWR, 0600}},
    {"mkdir", SYS_mkdir, {ARG_FILE, 0700}},
    {"mknod", SYS_mknod, {ARG_FILE, 0100600, 0}},
    {"symlink", SYS_symlink, {P("/etc/passwd"), ARG_FILE}},
    {"link", SYS_link, {P("/etc/passwd"), ARG_FILE}},
    {"rename", SYS_rename, {P("/etc/hostname"), ARG_FILE}},
    {"unlink", SYS_unlink, {ARG_FILE}},
    {"truncate", SYS_truncate, {ARG_FILE, 0}},
    {"chmod", SYS_chmod, {P("/"), 0777}},
    {"fchmodat2", NR_FCHMODAT2, {AT_FDCWD, P("/"), 0777}},
    {"chdir", SYS_chdir, {P("/")}},
    {"getcwd", SYS_getcwd, {P(page), sizeof(page)}},
    {"stat", SYS_stat, {P("/"), P(page)}},
    {"statx", SYS_statx, {AT_FDCWD, P("/"), 0, 0, P(page)}},
    {"readlink", SYS_readlink, {P("/proc/self/exe"), P(page), 100}},
    {"access", SYS_access, {P("/"), 0}},
    {"getdents64", SYS_getdents64, {3, P(page), sizeof(page)}},
    {"name_to_handle_at", SYS_name_to_handle_at,
	{AT_FDCWD, P("/"), P(page), P(&byte)}},
    {"open_by_handle_at", SYS_open_by_handle_at, {AT_FDCWD, P(page), O_RDONLY}},
    {"setxattr", SYS_setxattr, {P("/"), P("user.a"), P(&byte), 1}},
    {"cachestat", NR_CACHESTAT, {3}},

    /* N2 sockets */
    {"socket AF_INET", SYS_socket, {AF_INET, SOCK_STREAM, 0}},
    {"socket AF_INET6", SYS_socket, {AF_INET6, SOCK_STREAM, 0}},
    {"socket AF_UNIX", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
    {"socket AF_NETLINK", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}},
    {"socket AF_PACKET", SYS_socket, {AF_PACKET, SOCK_RAW, 0}},
    {"socket AF_VSOCK", SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}},
    {"socket AF_ALG", SYS_socket, {AF_ALG, SOCK_SEQPACKET, 0}},
    {"socketpair", SYS_socketpair,
	{AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, P(pair)}},
    {"connect", SYS_connect, {3, P(page), 16}},
    {"bind", SYS_bind, {3, P(page), 2}},
    {"listen", SYS_listen, {3, 1}},
    {"accept4", SYS_accept4, {3, 0, 0, 0}},

    /* N3, N4 other processes' memory */
    {"ptrace PTRACE_TRACEME", SYS_ptrace, {PTRACE_TRACEME}},
    {"ptrace attach sibling", SYS_ptrace, {PTRACE_ATTACH, ARG_SIBLING}},
    {"ptrace seize sibling", SYS_ptrace, {PTRACE_SEIZE, ARG_SIBLING}},
    {"ptrace attach zygote", SYS_ptrace, {PTRACE_ATTACH, ARG_ZYGOTE}},
    {"process_vm_readv sibling", SYS_process_vm_readv,
	{ARG_SIBLING, P(&iov), 1, P(&iov), 1}},
    {"process_vm_writev sibling", SYS_process_vm_writev,
	{ARG_SIBLING, P(&iov), 1, P(&iov), 1}},
    {"process_vm_readv zygote", SYS_process_vm_readv,
	{ARG_ZYGOTE, P(&iov), 1, P(&iov), 1}},
    {"process_vm_writev zygote", SYS_process_vm_writev,
	{ARG_ZYGOTE, P(&iov), 1, P(&iov), 1}},
    {"kcmp sibling", SYS_kcmp, {ARG_SIBLING, ARG_ZYGOTE, 1}},
    {"pidfd_open sibling", SYS_pidfd_open, {ARG_SIBLING, 0}},
    {"pidfd_getfd", SYS_pidfd_getfd, {3, 3, 0}},
    {"process_madvise", SYS_process_madvise, {3, P(&iov), 1, MADV_COLD}},
    {"process_mrelease", SYS_process_mrelease, {3, 0}},
    {"get_robust_list sibling", SYS_get_robust_list,
	{ARG_SIBLING, P(page), P(page)}},

    /* N5 signals */
    {"kill itself", SYS_kill, {0, SIGKILL}},
    {"kill sibling", SYS_kill, {ARG_SIBLING, SIGKILL}},
    {"kill zygote", SYS_kill, {ARG_ZYGOTE, SIGKILL}},
    {"kill everybody", SYS_kill, {-1, SIGKILL}},
    {"tkill sibling", SYS_tkill, {ARG_SIBLING, SIGKILL}},
    {"tgkill sibling", SYS_tgkill, {ARG_SIBLING, ARG_SIBLING, SIGKILL}},
    {"rt_sigqueueinfo sibling", SYS_rt_sigqueueinfo,
	{ARG_SIBLING, SIGKILL, P(page)}},
    {"pidfd_send_signal", SYS_pidfd_send_signal, {3, SIGKILL, 0, 0}},

    /* N6 processes */
    {"fork", SYS_fork, {0}},
    {"vfork", SYS_vfork, {0}},
    {"clone SIGCHLD", SYS_clone, {SIGCHLD}},
    {"clone as the zygote does", SYS_clone,
	{SIGCHLD | CLONE_PIDFD, 0, P(pair)}},
    {"clone thread", SYS_clone,
	{CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES | CLONE_FS,
	    P(page + 4000)}},
    {"clone CLONE_NEWUSER", SYS_clone, {SIGCHLD | CLONE_NEWUSER}},
    {"clone CLONE_PARENT", SYS_clone, {SIGCHLD | CLONE_PARENT}},
    {"clone CLONE_UNTRACED", SYS_clone, {SIGCHLD | CLONE_UNTRACED}},
    {"clone all namespaces", SYS_clone,
	{SIGCHLD | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
	    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP}},
    {"clone3", SYS_clone3, {P(zeros), 88}},
    {"wait4", SYS_wait4, {-1, 0, 1 /* WNOHANG */, 0}},
    {"setsid", SYS_setsid, {0}},
    {"setpgid", SYS_setpgid, {0, 0}},
    {"exit of one thread", SYS_exit, {0}},

    /* N7 programs */
    {"execve", SYS_execve, {P("/bin/sh"), P(no_strings), P(no_strings)}},
    {"execveat", SYS_execveat,
	{3, P(""), P(no_strings), P(no_strings), AT_EMPTY_PATH}},
    {"uselib", SYS_uselib, {P("/bin/sh")}},

    /* N8 to N13 the large interfaces */
    {"io_uring_setup", SYS_io_uring_setup, {1, P(page)}},
    {"io_uring_enter", SYS_io_uring_enter, {3, 1, 0, 0}},
    {"io_uring_register", SYS_io_uring_register, {3, 0, 0, 0}},
    {"io_setup", SYS_io_setup, {1, P(zeros)}},
    {"userfaultfd", SYS_userfaultfd, {1}},
    {"bpf", SYS_bpf, {0, P(page), 64}},
    {"perf_event_open", SYS_perf_event_open, {P(page), 0, -1, -1, 0}},
    {"keyctl", SYS_keyctl,
	{KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1}},
    {"add_key", SYS_add_key,
	{P("user"), P("a"), P("b"), 1, KEY_SPEC_PROCESS_KEYRING}},
    {"request_key", SYS_request_key, {P("user"), P("a"), 0, 0}},
    {"memfd_create", SYS_memfd_create, {P("a"), 0}},
    {"memfd_secret", NR_MEMFD_SECRET, {0}},

    /* N14 memory */
    {"mmap", SYS_mmap,
	{0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
    {"mmap RWX", SYS_mmap,
	{0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
    {"mmap at 0", SYS_mmap,
	{0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0}},
    {"mprotect executable", SYS_mprotect,
	{P(page), 4096, PROT_READ | PROT_EXEC}},
    {"mprotect", SYS_mprotect, {P(page), 4096, PROT_READ | PROT_WRITE}},
    {"pkey_mprotect", SYS_pkey_mprotect,
	{P(page), 4096, PROT_READ | PROT_EXEC, -1}},
    {"pkey_alloc", SYS_pkey_alloc, {0, 0}},
    {"remap_file_pages", SYS_remap_file_pages, {P(page), 4096, 0, 0, 0}},
    {"mremap", SYS_mremap, {P(page), 4096, 8192, MREMAP_MAYMOVE}},
    {"munmap", SYS_munmap, {P(page), 4096}},
    {"brk", SYS_brk, {0}},
    {"madvise", SYS_madvise, {P(page), 4096, MADV_DONTNEED}},
    {"mlock", SYS_mlock, {P(page), 4096}},
    {"msync", SYS_msync, {P(page), 4096, MS_SYNC}},
    {"mincore", SYS_mincore, {P(page), 4096, P(&byte)}},
    {"mseal", NR_MSEAL, {P(page), 4096, 0}},
    {"map_shadow_stack", NR_MAP_SHADOW_STACK, {0, 4096, 0}},

    /* N16 signals and events of its own */
    {"sigaltstack", SYS_sigaltstack, {0, P(page)}},
    {"rt_sigaction", SYS_rt_sigaction, {SIGSEGV, P(&action), 0, 8}},
    {"rt_sigprocmask", SYS_rt_sigprocmask, {0, P(zeros), 0, 8}},
    {"rt_sigpending", SYS_rt_sigpending, {P(zeros), 8}},
    {"rt_sigtimedwait", SYS_rt_sigtimedwait, {P(zeros), 0, P(zeros), 8}},
    {"setitimer", SYS_setitimer, {0, P(zeros), 0}},
    {"alarm", SYS_alarm, {1}},
    {"timer_create", SYS_timer_create, {1, 0, P(zeros)}},
    {"timerfd_create", SYS_timerfd_create, {1, 0}},
    {"signalfd4", SYS_signalfd4, {-1, P(zeros), 8, 0}},
    {"eventfd2", SYS_eventfd2, {0, 0}},
    {"epoll_create1", SYS_epoll_create1, {0}},
    {"epoll_wait", SYS_epoll_wait, {3, P(page), 1, 0}},
    {"poll", SYS_poll, {P(zeros), 0, 0}},
    {"select", SYS_select, {0, 0, 0, 0, P(zeros)}},
    {"inotify_init1", SYS_inotify_init1, {0}},
    {"fanotify_init", SYS_fanotify_init, {0, 0}},
    {"nanosleep", SYS_nanosleep, {P(zeros), 0}},
    {"clock_gettime", SYS_clock_gettime, {1, P(zeros)}},
    {"gettimeofday", SYS_gettimeofday, {P(zeros), 0}},
    {"time", SYS_time, {0}},
    {"getrandom", SYS_getrandom, {P(page), 1, 0}},
    {"restart_syscall", SYS_restart_syscall, {0}},

    /* N17 what it is */
    {"prctl dumpable", SYS_prctl, {PR_SET_DUMPABLE, 1}},
    {"prctl name", SYS_prctl, {PR_SET_NAME, P("init")}},
    {"prctl death signal", SYS_prctl, {PR_SET_PDEATHSIG, 0}},
    {"prctl seccomp", SYS_prctl, {PR_SET_SECCOMP, 1}},
    {"prctl time stamp counter", SYS_prctl, {PR_SET_TSC, PR_TSC_ENABLE}},
    {"prctl subreaper", SYS_prctl, {PR_SET_CHILD_SUBREAPER, 1}},
    {"arch_prctl", SYS_arch_prctl, {0x1002 /* ARCH_SET_FS */, P(page)}},
    {"personality", SYS_personality, {0x0400000 /* READ_IMPLIES_EXEC */}},
    {"modify_ldt", SYS_modify_ldt, {0, P(page), 16}},
    {"set_thread_area", SYS_set_thread_area, {P(page)}},
    {"rseq", SYS_rseq, {P(page), 32, 0, 0}},
    {"membarrier", SYS_membarrier, {0, 0, 0}},
    {"set_robust_list", SYS_set_robust_list, {P(zeros), 24}},
    {"set_tid_address", SYS_set_tid_address, {P(zeros)}},
    {"futex", SYS_futex, {P(zeros), FUTEX_WAKE, 1}},
    {"futex_wake", NR_FUTEX_WAKE, {P(zeros), 1, 1, 2}},
    {"getpid", SYS_getpid, {0}},
    {"getppid", SYS_getppid, {0}},
    {"getuid", SYS_getuid, {0}},
    {"uname", SYS_uname, {P(page)}},
    {"sysinfo", SYS_sysinfo, {P(page)}},
    {"times", SYS_times, {P(page)}},
    {"getrusage", SYS_getrusage, {0, P(page)}},
    {"getcpu", SYS_getcpu, {P(zeros), 0, 0}},

    /* N18 the jail itself */
    {"seccomp filter", SYS_seccomp, {1, 0, P(zeros)}},
    {"seccomp strict", SYS_seccomp, {0, 0, 0}},
    {"landlock_create_ruleset", SYS_landlock_create_ruleset, {0, 0, 1}},
    {"landlock_add_rule", SYS_landlock_add_rule, {3, 1, P(page), 0}},
    {"landlock_restrict_self", SYS_landlock_restrict_self, {3, 0}},
    {"lsm_set_self_attr", NR_LSM_SET_SELF_ATTR, {100, P(page), 32, 0}},

    /* N19 the x32 numbers */
    {"x32 write", 0x40000000L | SYS_write, {3, P(&byte), 1}},
    {"x32 read", 0x40000000L | SYS_read, {3, P(&byte), 1}},
    {"x32 exit_group", 0x40000000L | SYS_exit_group, {0}},
    {"x32 getpid", 0x40000000L | SYS_getpid, {0}},
    {"x32 execve", 0x40000000L | 520,
	{P("/bin/sh"), P(no_strings), P(no_strings)}},

    /* N22 numbers that are none */
    {"system call -1", -1, {3, 0, 0}},
    {"system call -2", -2, {3, 0, 0}},
    {"system call 470", NR_FIRST_FREE_AT_HAND, {3, 0, 0}},
    {"system call 2^20", 1L << 20, {3, 0, 0}},
    {"system call 2^32 + getpid", 0x100000000L | SYS_getpid, {0}},
    {"system call 2^31 - 1", 0x7fffffffL, {0}},

    /* N25 descriptors that are not 3 */
    {"read 0", SYS_read, {0, P(&byte), 1}},
    {"write 1", SYS_write, {1, P(&byte), 1}},
    {"write 2", SYS_write, {2, P(&byte), 1}},
    {"read 4", SYS_read, {4, P(&byte), 1}},
    {"write 4", SYS_write, {4, P(&byte), 1}},
    {"write 63", SYS_write, {63, P(&byte), 1}},
    {"write 1023", SYS_write, {1023, P(&byte), 1}},
    {"write -1", SYS_write, {-1, P(&byte), 1}},
    {"read 2^32 + 3", SYS_read, {0x100000003L, P(&byte), 1}},
    {"write 2^32 + 3", SYS_write, {0x100000003L, P(&byte), 1}},
    {"write 2^63 + 3", SYS_write, {3L - 0x7fffffffffffffffL - 1L, P(&byte), 1}},

    /* N26 descriptor 3 by other means */
    {"readv", SYS_readv, {3, P(&iov), 1}},
    {"writev", SYS_writev, {3, P(&iov), 1}},
    {"pread64", SYS_pread64, {3, P(&byte), 1, 0}},
    {"pwrite64", SYS_pwrite64, {3, P(&byte), 1, 0}},
    {"preadv2", SYS_preadv2, {3, P(&iov), 1, -1, -1, 0}},
    {"pwritev2", SYS_pwritev2, {3, P(&iov), 1, -1, -1, 0}},
    {"sendto", SYS_sendto, {3, P(&byte), 1, MSG_DONTWAIT, 0, 0}},
    {"recvfrom", SYS_recvfrom, {3, P(&byte), 1, MSG_DONTWAIT, 0, 0}},
    {"sendmsg with a descriptor", SYS_sendmsg, {3, P(&message), MSG_DONTWAIT}},
    {"recvmsg", SYS_recvmsg, {3, P(&message), MSG_DONTWAIT}},
    {"sendmmsg", SYS_sendmmsg, {3, P(page), 0, 0}},
    {"recvmmsg", SYS_recvmmsg, {3, P(page), 1, MSG_DONTWAIT, 0}},
    {"splice", SYS_splice, {3, 0, 3, 0, 1, 0}},
    {"tee", SYS_tee, {3, 3, 1, 0}},
    {"vmsplice", SYS_vmsplice, {3, P(&iov), 1, 0}},
    {"sendfile", SYS_sendfile, {3, 3, 0, 1}},
    {"copy_file_range", SYS_copy_file_range, {3, 0, 3, 0, 1, 0}},
    {"dup", SYS_dup, {3}},
    {"dup2", SYS_dup2, {3, 1}},
    {"dup3", SYS_dup3, {3, 1, 0}},
    {"fcntl F_DUPFD", SYS_fcntl, {3, F_DUPFD, 0}},
    {"fcntl F_SETOWN", SYS_fcntl, {3, F_SETOWN, ARG_SIBLING}},
    {"ioctl TIOCSTI", SYS_ioctl, {3, 0x5412, P(&byte)}},
    {"ioctl FIOASYNC", SYS_ioctl, {3, 0x5452, P(zeros)}},
    {"shutdown", SYS_shutdown, {3, SHUT_RDWR}},
    {"setsockopt", SYS_setsockopt, {3, SOL_SOCKET, SO_PASSCRED, P(zeros), 4}},
    {"getsockopt", SYS_getsockopt,
	{3, SOL_SOCKET, SO_PEERCRED, P(page), P(zeros)}},
    {"getpeername", SYS_getpeername, {3, P(page), P(zeros)}},
    {"fstat", SYS_fstat, {3, P(page)}},
    {"lseek", SYS_lseek, {3, 0, 0}},
    {"fsync", SYS_fsync, {3}},
    {"close", SYS_close, {3}},
    {"close_range", SYS_close_range, {0, -1, 0}},
    {"flock", SYS_flock, {3, 1}},

    /* N29 System V and POSIX IPC */
    {"shmget", SYS_shmget, {0, 4096, 01600}},
    {"shmat", SYS_shmat, {0, 0, 0}},
    {"msgget", SYS_msgget, {0, 01600}},
    {"semget", SYS_semget, {0, 1, 01600}},
    {"mq_open", SYS_mq_open, {P("a"), O_CREAT | O_RDWR, 0600, 0}},
    {"pipe2", SYS_pipe2, {P(pair), 0}},

    /* N30 namespaces and mounts */
    {"unshare CLONE_NEWUSER", SYS_unshare, {CLONE_NEWUSER}},
    {"unshare CLONE_NEWNS", SYS_unshare, {CLONE_NEWNS}},
    {"setns", SYS_setns, {3, 0}},
    {"mount", SYS_mount, {P("a"), P("/"), P("tmpfs"), 0, 0}},
    {"umount2", SYS_umount2, {P("/"), MNT_DETACH}},
    {"fsopen", SYS_fsopen, {P("tmpfs"), 0}},
    {"fsmount", SYS_fsmount, {3, 0, 0}},
    {"open_tree", SYS_open_tree, {AT_FDCWD, P("/"), 1}},
    {"open_tree_attr", NR_OPEN_TREE_ATTR, {AT_FDCWD, P("/"), 1, 0, 0}},
    {"move_mount", SYS_move_mount, {AT_FDCWD, P("/"), AT_FDCWD, P("/"), 0}},
    {"mount_setattr", SYS_mount_setattr, {AT_FDCWD, P("/"), 0, P(zeros), 32}},
    {"statmount", NR_STATMOUNT, {P(page), P(page), 64, 0}},
    {"listmount", NR_LISTMOUNT, {P(page), P(page), 1, 0}},
    {"chroot", SYS_chroot, {P("/")}},
    {"pivot_root", SYS_pivot_root, {P("."), P(".")}},

    /* N31 rights and priorities */
    {"setuid", SYS_setuid, {0}},
    {"setresuid", SYS_setresuid, {0, 0, 0}},
    {"setresgid", SYS_setresgid, {0, 0, 0}},
    {"setgroups", SYS_setgroups, {0, 0}},
    {"setfsuid", SYS_setfsuid, {0}},
    {"capset", SYS_capset, {P(zeros), P(zeros)}},
    {"setpriority", SYS_setpriority, {0, 0, -20}},
    {"ioprio_set", SYS_ioprio_set, {1, 0, 0}},
    {"sched_setscheduler", SYS_sched_setscheduler, {0, 1, P(&lowest)}},
    {"sched_setattr", SYS_sched_setattr, {0, P(zeros), 0}},
    {"sched_setaffinity", SYS_sched_setaffinity, {0, 8, P(zeros)}},
    {"sched_getaffinity", SYS_sched_getaffinity, {0, 8, P(zeros)}},
    {"sched_yield", SYS_sched_yield, {0}},
    {"prlimit64", SYS_prlimit64, {0, 7, P(zeros), 0}},
    {"prlimit64 sibling", SYS_prlimit64, {ARG_SIBLING, 7, P(zeros), 0}},
    {"umask", SYS_umask, {0}},

    /* N32 the machine */
    {"iopl", SYS_iopl, {3}},
    {"ioperm", SYS_ioperm, {0x80, 1, 1}},
    {"kexec_load", SYS_kexec_load, {0, 0, 0, 0}},
    {"init_module", SYS_init_module, {P(page), 16, P("")}},
    {"finit_module", SYS_finit_module, {3, P(""), 0}},
    {"delete_module", SYS_delete_module, {P("a"), 0}},
    {"reboot", SYS_reboot, {0, 0, 0, 0}},
    {"swapon", SYS_swapon, {P("/a"), 0}},
    {"acct", SYS_acct, {0}},
    {"syslog", SYS_syslog, {2, P(page), 16}},
    {"sethostname", SYS_sethostname, {P("a"), 1}},
    {"settimeofday", SYS_settimeofday, {0, P(zeros)}},
    {"clock_settime", SYS_clock_settime, {0, P(zeros)}},
    {"adjtimex", SYS_adjtimex, {P(page)}},
    {"quotactl", SYS_quotactl, {0, 0, 0, 0}},
    {"vhangup", SYS_vhangup, {0}},
    {"sync", SYS_sync, {0}},
};

const size_t attack_calls_n = sizeof(attack_calls) / sizeof(attack_calls[0]);
