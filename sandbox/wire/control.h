/*
 * control.h - the words between gateway and zygote.
 *
 * Runs in: gateway, zygote.
 *
 * One message per packet on a SOCK_SEQPACKET pair, descriptor 3 of the zygote.
 * The end of the stream ends the zygote, and with it its workers.
 */
#pragma once

/* u8 op, then fields as in wire.h. */
enum control_op {
	CONTROL_SPAWN = 1,   /* gateway: u64 slot, u64 memory_bytes + socket */
	CONTROL_HELLO = 2,   /* zygote: the layer report, u32 failed self-tests,
			      * str their lines, str version of Lua */
	CONTROL_SPAWNED = 3, /* zygote: u64 slot + pidfd */
	CONTROL_DIED = 4,    /* zygote: u64 slot, u32 status, u64 cpu_us,
			      * u64 max_rss_kb */
	CONTROL_NO_FORK = 5, /* zygote: u64 slot, u32 errno */
};

#define CONTROL_MAX_BYTES 16384 /* of one message */
#define CONTROL_WORKERS	  4096	/* at once */
