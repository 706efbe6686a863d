/*
 * record.h - the one record in which every invocation ends.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing; fixed size, no pointers, so that it can stand in a mapped
 *          file and be copied with one memcpy.
 *
 * Metrics, bill, logs, receipts and listings are views of it.  Times are
 * microseconds of the gateway's monotonic clock; bytes are of bodies.
 */
#pragma once

#include <stdint.h>

#define RECORD_ID_MAX	  32 /* request id with its NUL */
#define RECORD_NAME_MAX	  65 /* function name with its NUL */
#define RECORD_REASON_MAX 40

/* clang-format off */
#define RECORD_SOURCES(X) \
	X(HTTP, "http") X(UPLOAD, "upload") X(INVOKE, "invoke")

/* How the request got its worker; design: start kinds. */
#define RECORD_KINDS(X)                        \
	X(NONE, "none") /* it never got one */ \
	X(WARM, "warm") X(IMAGE, "image") X(BUILD, "build") X(FORK, "fork")

#define RECORD_CAUSES(X)          \
	X(NONE, "none")           \
	X(FIRST, "first")         \
	X(FROM_ZERO, "from_zero") \
	X(SCALE_OUT, "scale_out") X(REPLACE, "replace") X(DEPLOY, "deploy")

#define RECORD_OUTCOMES(X)                                                    \
	X(OK, "ok")		  /* the handler returned */                  \
	X(ERROR, "error")	  /* the handler raised an error */           \
	X(TIMEOUT, "timeout")	  /* interrupted or killed at the deadline */ \
	X(MEMORY, "memory")	  /* the arena was full */                    \
	X(CRASHED, "crashed")	  /* the worker died or broke the protocol */ \
	X(CANCELLED, "cancelled") /* the client went away */                  \
	X(REJECTED, "rejected")	  /* queue full, draining, not ready */       \
	X(EXPIRED, "expired")	  /* deadline passed while waiting */

/* Who failed, as in the Perilune-Failed-By header. */
#define RECORD_FAILED_BY(X)                                     \
	X(NONE, "")                                             \
	X(CLIENT, "client")                                     \
	X(POLICY, "policy")                                     \
	X(GATEWAY, "gateway")                                   \
	X(POOL, "pool") X(SANDBOX, "sandbox") X(LIMIT, "limit") \
	    X(HANDLER, "handler")
/* clang-format on */

#define X(name, text) RECORD_SOURCE_##name,
enum record_source { RECORD_SOURCES(X) };
#undef X
#define X(name, text) RECORD_KIND_##name,
enum record_kind { RECORD_KINDS(X) };
#undef X
#define X(name, text) RECORD_CAUSE_##name,
enum record_cause { RECORD_CAUSES(X) };
#undef X
#define X(name, text) RECORD_OUTCOME_##name,
enum record_outcome { RECORD_OUTCOMES(X) };
#undef X
#define X(name, text) RECORD_FAILED_##name,
enum record_failed_by { RECORD_FAILED_BY(X) };
#undef X

struct record {
	uint64_t seq;	   /* counts up by one per record, across restarts */
	int64_t wall_ms;   /* when the request was accepted */
	uint64_t queue_us; /* accepted until a worker was there for it */
	uint64_t spawn_us; /* fork asked for until the process existed */
	uint64_t jail_us;  /* until it said READY */
	/* Image or source sent until handler start, less init.  Where the
	 * start and the answer were read together, the time of both is shared
	 * as it is when they are read apart. */
	uint64_t load_us;
	uint64_t
	    init_us; /* init of the function, when this request waited for it */
	uint64_t handler_us; /* first handler instruction until the result */
	uint64_t
	    first_us; /* dispatch until first handler instruction; 0 if warm */
	uint64_t cpu_us;  /* of the worker, for this request */
	uint64_t peak_kb; /* arena's high-water mark */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t billed_ms;
	uint64_t cost_pico; /* 10^-12 of the price card's currency */
	uint32_t version;
	uint32_t memory_mb;
	uint32_t attempt; /* 1, 2, ... */
	uint16_t status;  /* HTTP, that the caller got; 499: it was gone */
	uint8_t source;	  /* enum record_source, and so on */
	uint8_t kind;
	uint8_t cause;
	uint8_t outcome;
	uint8_t failed_by;
	char function[RECORD_NAME_MAX];
	char request_id[RECORD_ID_MAX];
	char reason[RECORD_REASON_MAX]; /* short, stable: "handler_error" */
};

/* The words above, "?" for numbers that are none. */
const char *record_source_name(unsigned int source);
const char *record_kind_name(unsigned int kind);
const char *record_cause_name(unsigned int cause);
const char *record_outcome_name(unsigned int outcome);
const char *record_failed_by_name(unsigned int failed_by);
