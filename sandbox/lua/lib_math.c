/*
 * lib_math.c - math.random from the request's own seed.
 *
 * Runs in: worker, tests.
 *
 * xoshiro256** (Blackman and Vigna), seeded at the first use in a request
 * from the request's seed by ChaCha20, so that its numbers say nothing about
 * those of crypto.random.  Two workers with the same image differ; the same
 * request replayed does not.
 */
#include "sandbox/lua/lua_priv.h"

static uint64_t
rotl(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static uint64_t
next(void)
{
	uint64_t *s = fnlua_call.random;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

static void
seed_from_request(void)
{
	struct chacha c;

	fnlua_generator(&c, "math.random");
	chacha_bytes(&c, fnlua_call.random, sizeof(fnlua_call.random));
	fnlua_call.random_ready = true;
}

static uint64_t
random_bits(void)
{
	if (!fnlua_call.random_ready)
		seed_from_request();
	return next();
}

/* Uniform in 0..limit: draw from the smallest power of two above it until it
 * fits, less than twice on average. */
static uint64_t
random_up_to(uint64_t limit)
{
	uint64_t mask = limit, v;

	for (int bits = 1; bits < 64; bits *= 2)
		mask |= mask >> bits;
	do
		v = random_bits() & mask;
	while (v > limit);
	return v;
}

static int
math_random(lua_State *L)
{
	lua_Integer low = 1, high;

	switch (lua_gettop(L)) {
	case 0:
		lua_pushnumber(L, (lua_Number)(random_bits() >> 11) * 0x1p-53);
		return 1;
	case 1:
		high = luaL_checkinteger(L, 1);
		if (high == 0) {
			lua_pushinteger(L, (lua_Integer)random_bits());
			return 1;
		}
		break;
	case 2:
		low = luaL_checkinteger(L, 1);
		high = luaL_checkinteger(L, 2);
		break;
	default:
		return luaL_error(L, "wrong number of arguments");
	}
	luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
	lua_pushinteger(L,
	    (lua_Integer)((lua_Unsigned)low +
		random_up_to((lua_Unsigned)high - (lua_Unsigned)low)));
	return 1;
}

static int
math_randomseed(lua_State *L)
{
	uint64_t *s = fnlua_call.random;
	lua_Integer exact;

	if (lua_isnone(L, 1)) {
		seed_from_request();
		return 0;
	}
	if (!lua_isinteger(L, 1)) {
		lua_Number n = luaL_checknumber(L, 1);

		if (!lua_numbertointeger(n, &exact))
			memcpy(&exact, &n, sizeof(exact));
	} else {
		exact = lua_tointeger(L, 1);
	}
	s[0] = (uint64_t)exact;
	s[1] = 0xff;
	s[2] = (uint64_t)luaL_optinteger(L, 2, 0);
	s[3] = 0;
	for (int i = 0; i < 16; i++)
		(void)next();
	fnlua_call.random_ready = true;
	return 0;
}

void
fnlua_open_math(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"random", math_random},
	    {"randomseed", math_randomseed},
	    {NULL, NULL},
	};

	lua_getglobal(L, LUA_MATHLIBNAME);
	luaL_setfuncs(L, functions, 0);
}
