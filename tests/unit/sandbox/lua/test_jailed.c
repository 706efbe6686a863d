/*
 * test_jailed.c - nothing in sandbox/lua makes a system call.
 *
 * Runs in: tests.
 *
 * A child makes a state, loads a function and invokes it under the kernel's
 * strict seccomp mode, which kills it at any call but read, write and exit.
 * Memory is static, as a worker's is mapped before its jail.  Sanitizers make
 * calls of their own, so their builds only run the code.
 */
#include "sandbox/lua/fnlua.h"
#include "tests/unit/unit.h"

#include <linux/seccomp.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char arena[96 << 20] __attribute__((aligned(16)));
static size_t arena_used;

/* Never frees: enough for one request. */
static void *
bump(void *arg, void *p, size_t old, size_t n)
{
	void *fresh;

	(void)arg;
	if (n == 0 || (p != NULL && n <= old))
		return n == 0 ? NULL : p;
	if (n > sizeof(arena) - arena_used - 16)
		return NULL;
	fresh = arena + arena_used;
	arena_used += (n + 15) & ~(size_t)15;
	if (p != NULL)
		memcpy(fresh, p, old);
	return fresh;
}

static void
on_log(enum wire_log level, struct slice text, struct slice fields)
{
	(void)level, (void)text, (void)fields;
}

static void
on_time(int64_t *wall_ms_out, uint64_t *mono_us_out)
{
	*wall_ms_out = 5000;
	*mono_us_out = 9;
}

static const char source[] =
    "local util = require('util')\n"
    "local kept = {} for i = 1, 1000 do kept['k' .. i] = i / 7 end\n"
    "return function(event, ctx)\n"
    "  print('hello', {}, 1.5) log.info('x', {a = 1}) warn('w')\n"
    "  local t = {} for i = 1, 5000 do t[i] = i < 4990 and i or -i end\n"
    "  table.sort(t, function(a, b) return a > b end)\n"
    "  for i = 1, 5000 do t[i] = (i * 7919) % 13 end table.sort(t)\n"
    "  local s = ('%5.3f %.99f %g %a %s %p %q'):format(1 / 3, 1e308, 2.5, "
    "1.0, t, t, 'x')\n"
    "  s = s .. os.date() .. os.time{year = 2000, month = 1, day = 1}\n"
    "  s = s .. os.clock() .. time.sync() .. time.now()\n"
    "  s = s .. json.encode({a = {1.25, 1 / 3, 'x'}})\n"
    "  s = s .. json.decode('[1e10, 0.1, 12345678901234567890]')[2]\n"
    "  s = s .. crypto.uuid() .. crypto.sha256(s) .. math.random()\n"
    "  s = s .. base64.encode(s) .. tostring(tonumber('0x1p4'))\n"
    "  s = s .. util.f() .. load('return 6 * 7')()\n"
    "  local co = coroutine.wrap(function() coroutine.yield(1) end)\n"
    "  co() collectgarbage() s = s:gsub('%d+', '#'):upper()\n"
    "  assert(not pcall(error, {}) and not pcall(json.decode, '{'))\n"
    "  assert(not pcall(function() local function f() return 1 + f() end "
    "f() end))\n"
    "  assert(('a' < 'b') and ('\\xe9' > 'z'))\n"
    "  if event.fail then error('on purpose') end\n"
    "  return {status = 200, headers = {['x-a'] = #s}, body = {n = #s, "
    "q = event.q, left = ctx.remaining_ms()}}\n"
    "end";

static struct fnlua_failure failure;
static uint8_t room[65536];

static bool
build(lua_State **L_out)
{
	static const struct fnlua_host host = {on_log, on_time, NULL, NULL,
	    NULL};
	static const struct fnlua_function function = {SLICE("jailed"), 1,
	    64 << 20, WIRE_HEAP_FRESH};
	static const uint8_t seed[WIRE_SEED_BYTES] = {9, 8, 7};
	struct wire_writer w = {room, 0, sizeof(room), false};
	struct wire_reader r;

	wire_put_u32(&w, 0);
	wire_put_u32(&w, 2);
	wire_put_str(&w, SLICE("init"));
	wire_put_str(&w, SLICE(source));
	wire_put_str(&w, SLICE("util"));
	wire_put_str(&w, SLICE("return {f = function() return 'u' end}"));
	r = (struct wire_reader){w.p, w.n, false};
	*L_out = fnlua_new(bump, NULL, &host, seed);
	return *L_out != NULL &&
	    fnlua_load(*L_out, &function, &r, seed, 1000, 2000, &failure) == 0;
}

static bool
invoke(lua_State *L, struct slice document)
{
	static const uint8_t seed[WIRE_SEED_BYTES] = {1, 2, 3};
	struct fnlua_event event = {.seed = seed,
	    .kind = WIRE_EVENT_JSON,
	    .deadline_us = 5000};
	uint8_t fields[64];
	struct wire_writer w = {fields, 0, sizeof(fields), false};
	struct wire_writer out = {room, 0, sizeof(room), false};

	wire_put_str(&w, document);
	event.fields = (struct wire_reader){w.p, w.n, false};
	return fnlua_invoke(L, &event, &out, &failure) == 0;
}

static const char *
run(void)
{
	lua_State *L;

	if (!build(&L) || !invoke(L, SLICE("{\"q\":[1,null]}")))
		return failure.message;
	if (invoke(L, SLICE("{\"fail\":true}")))
		return "an error was lost";
	if (strstr(failure.message, "on purpose") == NULL ||
	    strstr(failure.traceback, "stack traceback") == NULL)
		return failure.message;
	return "fine";
}

static void
child(int fd)
{
	const char *said;

	(void)mallopt(M_MMAP_MAX, 0);
	(void)mallopt(M_TRIM_THRESHOLD, -1);
	free(malloc(1 << 20)); /* as jailed workers do: "%.99f" needs some */
#ifndef PERILUNE_SANITIZED
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		_exit(3);
#endif
	said = run();
	(void)!write(fd, said, strlen(said));
	(void)syscall(SYS_exit, 0);
}

START_TEST(a_function_lives_without_system_calls)
{
	char said[2048] = "";
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child(ends[1]);
	(void)close(ends[1]);
	n = read(ends[0], said, sizeof(said) - 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "status %x: a system call was made", (unsigned int)status);
	ck_assert_int_gt(n, 0);
	ck_assert_str_eq(said, "fine");
	(void)close(ends[0]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/lua/jailed");
	TCase *tcase = tcase_create("jailed");

	tcase_add_test(tcase, a_function_lives_without_system_calls);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
