/*
 * lib_time.c - `time`, and os.time, os.date, os.clock: the frozen clock.
 *
 * Runs in: worker, tests.
 *
 * Time stands still from one message of the gateway to the next; time.sync()
 * asks for the current one.  Dates are UTC, by arithmetic alone: days are
 * counted from 1 March of year 0, so that a leap day is the last of its year.
 */
#include "sandbox/lua/lua_priv.h"

#include <stdio.h>

#define SECONDS_MAX (INT64_C(1) << 55) /* about a thousand million years */
#define FIELD_MAX   (INT64_C(1) << 31)
#define DAY	    86400
#define ERA_DAYS    146097 /* 400 years */

struct date {
	int64_t year;
	int month, day; /* from 1 */
	int hour, min, sec;
	int wday, yday; /* from 0: Sunday, 1 January */
};

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days from 1970-01-01 to a day; month may be any number. */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t months = year * 12 + month - 3; /* from March */
	int64_t y = floor_div(months, 12);
	int64_t m = months - y * 12;
	int64_t era = floor_div(y, 400);
	int64_t of_era = y - era * 400;

	return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 +
	    (153 * m + 2) / 5 + day - 1 - 719468;
}

static void
date_of(struct date *d, int64_t seconds)
{
	int64_t days = floor_div(seconds, DAY);
	int64_t left = seconds - days * DAY;
	int64_t shifted = days + 719468;
	int64_t era = floor_div(shifted, ERA_DAYS);
	int64_t of_era = shifted - era * ERA_DAYS;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 -
			of_era / (ERA_DAYS - 1)) /
	    365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;

	d->day = (int)(of_year - (153 * m + 2) / 5 + 1);
	d->month = (int)(m < 10 ? m + 3 : m - 9);
	d->year = y + era * 400 + (d->month <= 2);
	d->hour = (int)(left / 3600);
	d->min = (int)(left / 60 % 60);
	d->sec = (int)(left % 60);
	d->wday = (int)((days % 7 + 11) % 7);
	d->yday = (int)(days - days_of(d->year, 1, 1));
}

/* ISO 8601: the week with the year's first Thursday is week 1. */
static int
iso_week(const struct date *d, int64_t *year_out)
{
	int64_t days = days_of(d->year, d->month, d->day);
	int64_t thursday = days - (d->wday + 6) % 7 + 3;
	struct date t;

	date_of(&t, thursday * DAY);
	*year_out = t.year;
	return t.yday / 7 + 1;
}

static const char *const day_names[] = {"Sunday", "Monday", "Tuesday",
    "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const month_names[] = {"January", "February", "March",
    "April", "May", "June", "July", "August", "September", "October",
    "November", "December"};

/* What stands for other conversions, or NULL. */
static const char *
composite(char c)
{
	switch (c) {
	case 'c':
		return "%a %b %e %H:%M:%S %Y";
	case 'D':
	case 'x':
		return "%m/%d/%y";
	case 'F':
		return "%Y-%m-%d";
	case 'R':
		return "%H:%M";
	case 'r':
		return "%I:%M:%S %p";
	case 'T':
	case 'X':
		return "%H:%M:%S";
	default:
		return NULL;
	}
}

static const char *
name_of(const struct date *d, char c)
{
	switch (c) {
	case 'A':
		return day_names[d->wday];
	case 'B':
		return month_names[d->month - 1];
	case 'p':
		return d->hour < 12 ? "AM" : "PM";
	case 'Z':
		return "UTC";
	case 'z':
		return "+0000";
	case 'n':
		return "\n";
	case 't':
		return "\t";
	case '%':
		return "%";
	default:
		return NULL;
	}
}

/* A conversion that is a number: its value, *width_out negative when padded
 * with spaces.  false when it is none. */
static bool
number_of(const struct date *d, char c, int64_t *value_out, int *width_out)
{
	int64_t year = d->year;

	*width_out = 2;
	switch (c) {
	case 'C':
		*value_out = floor_div(year, 100);
		return true;
	case 'd':
		*value_out = d->day;
		return true;
	case 'e':
		*value_out = d->day;
		*width_out = -2;
		return true;
	case 'H':
		*value_out = d->hour;
		return true;
	case 'I':
		*value_out = (d->hour + 11) % 12 + 1;
		return true;
	case 'j':
		*value_out = d->yday + 1;
		*width_out = 3;
		return true;
	case 'M':
		*value_out = d->min;
		return true;
	case 'm':
		*value_out = d->month;
		return true;
	case 'S':
		*value_out = d->sec;
		return true;
	case 'u':
		*value_out = (d->wday + 6) % 7 + 1;
		*width_out = 1;
		return true;
	case 'w':
		*value_out = d->wday;
		*width_out = 1;
		return true;
	case 'U':
		*value_out = (d->yday + 7 - d->wday) / 7;
		return true;
	case 'W':
		*value_out = (d->yday + 7 - (d->wday + 6) % 7) / 7;
		return true;
	case 'V':
		*value_out = iso_week(d, &year);
		return true;
	case 'G':
		(void)iso_week(d, value_out);
		*width_out = 1;
		return true;
	case 'y':
		*value_out = year - floor_div(year, 100) * 100;
		return true;
	case 'Y':
		*value_out = year;
		*width_out = 1;
		return true;
	default:
		return false;
	}
}

static void add_format(lua_State *L, luaL_Buffer *b, const struct date *d,
    const char *p, size_t n);

static void
add_conversion(lua_State *L, luaL_Buffer *b, const struct date *d, char c)
{
	const char *s = composite(c);
	char text[32];
	int64_t value = 0;
	int width;

	if (s != NULL) {
		add_format(L, b, d, s, strlen(s));
	} else if ((s = name_of(d, c)) != NULL) {
		luaL_addstring(b, s);
	} else if (c == 'a') {
		luaL_addlstring(b, day_names[d->wday], 3);
	} else if (c == 'b' || c == 'h') {
		luaL_addlstring(b, month_names[d->month - 1], 3);
	} else if (number_of(d, c, &value, &width)) {
		(void)snprintf(text, sizeof(text),
		    width < 0 ? "%*lld" : "%0*lld", width < 0 ? -width : width,
		    (long long)value);
		luaL_addstring(b, text);
	} else {
		luaL_error(L, "invalid conversion specifier '%%%c'", c);
	}
}

static void
add_format(lua_State *L, luaL_Buffer *b, const struct date *d, const char *p,
    size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != '%')
			luaL_addchar(b, p[i]);
		else
			add_conversion(L, b, d, p[++i]); /* or the NUL */
	}
}

static void
set_field(lua_State *L, const char *name, lua_Integer value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, name);
}

/* Into the table on top. */
static void
set_date(lua_State *L, const struct date *d)
{
	set_field(L, "year", d->year);
	set_field(L, "month", d->month);
	set_field(L, "day", d->day);
	set_field(L, "hour", d->hour);
	set_field(L, "min", d->min);
	set_field(L, "sec", d->sec);
	set_field(L, "yday", d->yday + 1);
	set_field(L, "wday", d->wday + 1);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "isdst");
}

/* os.date([format [, time]]): always UTC, with or without "!". */
static int
os_date(lua_State *L)
{
	size_t n;
	const char *format = luaL_optlstring(L, 1, "%c", &n);
	lua_Integer seconds = luaL_optinteger(L, 2, fnlua_call.wall_ms / 1000);
	luaL_Buffer b;
	struct date d;

	luaL_argcheck(L, seconds > -SECONDS_MAX && seconds < SECONDS_MAX, 2,
	    "date result cannot be represented");
	date_of(&d, seconds);
	if (n > 0 && *format == '!') {
		format++;
		n--;
	}
	if (n == 2 && memcmp(format, "*t", 2) == 0) {
		lua_createtable(L, 0, 9);
		set_date(L, &d);
		return 1;
	}
	luaL_argcheck(L, n <= STRING_MAX / 32, 1, "format too long");
	luaL_buffinit(L, &b);
	add_format(L, &b, &d, format, n);
	luaL_pushresult(&b);
	return 1;
}

/* A field of the table at 1; absent is what the caller says, or an error
 * when that is negative. */
static int64_t
get_field(lua_State *L, const char *name, int64_t absent)
{
	lua_Integer value;
	int exact;

	if (lua_getfield(L, 1, name) == LUA_TNIL) {
		if (absent < 0)
			luaL_error(L, "field '%s' missing in date table", name);
		value = absent;
	} else {
		value = lua_tointegerx(L, -1, &exact);
		if (!exact)
			luaL_error(L, "field '%s' is not an integer", name);
		if (value < -FIELD_MAX || value > FIELD_MAX)
			luaL_error(L, "field '%s' is out-of-bound", name);
	}
	lua_pop(L, 1);
	return value;
}

static int
os_time(lua_State *L)
{
	int64_t year, month, day, seconds;
	struct date d;

	if (lua_isnoneornil(L, 1)) {
		lua_pushinteger(L, fnlua_call.wall_ms / 1000);
		return 1;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	year = get_field(L, "year", -1);
	month = get_field(L, "month", -1);
	day = get_field(L, "day", -1);
	seconds = days_of(year, month, day) * DAY;
	seconds += get_field(L, "hour", 12) * 3600;
	seconds += get_field(L, "min", 0) * 60;
	seconds += get_field(L, "sec", 0);
	date_of(&d, seconds);
	set_date(L, &d); /* normalised, as stock does */
	lua_pushinteger(L, seconds);
	return 1;
}

/* Seconds of this request, as far as the frozen clock knows. */
static int
os_clock(lua_State *L)
{
	lua_pushnumber(L,
	    (lua_Number)(fnlua_call.mono_us - fnlua_call.begin_us) / 1e6);
	return 1;
}

static int
time_now(lua_State *L)
{
	lua_pushinteger(L, fnlua_call.wall_ms);
	return 1;
}

static int
time_monotonic(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)fnlua_call.mono_us);
	return 1;
}

static int
time_sync(lua_State *L)
{
	fnlua_host->time(&fnlua_call.wall_ms, &fnlua_call.mono_us);
	return time_now(L);
}

void
fnlua_open_time(lua_State *L)
{
	static const luaL_Reg time_functions[] = {
	    {"now", time_now},
	    {"monotonic", time_monotonic},
	    {"sync", time_sync},
	    {NULL, NULL},
	};
	static const luaL_Reg os_functions[] = {
	    {"time", os_time},
	    {"date", os_date},
	    {"clock", os_clock},
	    {NULL, NULL},
	};

	fnlua_library(L, "time", time_functions);
	fnlua_library(L, "os", os_functions);
}
