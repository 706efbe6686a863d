/*
 * human.c - see human.h.
 *
 * Runs in: cli.
 */
#include "tools/cli/human.h"

#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_MS 86400000

static struct human __attribute__((format(printf, 1, 2)))
text(const char *fmt, ...)
{
	struct human out;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out.text, sizeof(out.text), fmt, ap);
	va_end(ap);
	return out;
}

struct human
human_us(uint64_t us)
{
	if (us < 10000)
		return text("%" PRIu64 " %s", us, term_utf8() ? "µs" : "us");
	if (us < 1000000)
		return text("%.1f ms", (double)us / 1e3);
	return text("%.2f s", (double)us / 1e6);
}

struct human
human_ms(uint64_t ms)
{
	if (ms < 10000)
		return text("%" PRIu64 " ms", ms);
	if (ms < 60000)
		return text("%.1f s", (double)ms / 1e3);
	return human_age(ms);
}

struct human
human_bytes(uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024)
		return text("%" PRIu64 " B", bytes);
	while (value >= 1023.95 && unit < 3) {
		value /= 1024;
		unit++;
	}
	return text("%.1f %s", value, units[unit]);
}

struct human
human_age(uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s < 60)
		return text("%" PRIu64 "s", s);
	if (s < 3600)
		return text("%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	if (s < 86400)
		return text("%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
	return text("%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
}

struct human
human_count(uint64_t n)
{
	char digits[24];
	struct human out;
	size_t len, used = 0;

	(void)snprintf(digits, sizeof(digits), "%" PRIu64, n);
	len = strlen(digits);
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out.text[used++] = ',';
		out.text[used++] = digits[i];
	}
	out.text[used] = '\0';
	return out;
}

/* Rounded down, also before 1970. */
static time_t
seconds_of(int64_t wall_ms)
{
	return (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
}

struct human
human_time(int64_t wall_ms)
{
	time_t s = seconds_of(wall_ms);
	struct human out;
	struct tm tm;

	if (localtime_r(&s, &tm) == NULL ||
	    strftime(out.text, sizeof(out.text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
		return text("?");
	return out;
}

struct human
human_time_ms(int64_t wall_ms)
{
	struct human out = human_time(wall_ms);
	int64_t ms = wall_ms - (int64_t)seconds_of(wall_ms) * 1000;

	return text("%.30s.%03d", out.text, (int)ms);
}

/*
 * n digits at *p, at most 9 of them, as a number; -1 when there are others.
 * Moves *p behind them.
 */
static int
digits(const char **p, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if ((*p)[i] < '0' || (*p)[i] > '9')
			return -1;
		value = value * 10 + ((*p)[i] - '0');
	}
	*p += n;
	return value;
}

static bool
skip(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* "YYYY-MM-DD"; moves *p behind it. */
static bool
parse_date(const char **p, struct tm *tm)
{
	int year = digits(p, 4);
	int month, day;

	if (year < 1970 || !skip(p, '-'))
		return false;
	month = digits(p, 2);
	if (month < 1 || month > 12 || !skip(p, '-'))
		return false;
	day = digits(p, 2);
	if (day < 1 || day > 31)
		return false;
	*tm = (struct tm){
	    .tm_year = year - 1900,
	    .tm_mon = month - 1,
	    .tm_mday = day,
	    .tm_isdst = -1,
	};
	return true;
}

/* "HH:MM", "HH:MM:SS" or "HH:MM:SS.mmm"; moves *p behind it. */
static bool
parse_clock(const char **p, struct tm *tm, int *ms_out)
{
	int scale = 100;

	tm->tm_hour = digits(p, 2);
	if (tm->tm_hour < 0 || tm->tm_hour > 23 || !skip(p, ':'))
		return false;
	tm->tm_min = digits(p, 2);
	if (tm->tm_min < 0 || tm->tm_min > 59)
		return false;
	if (!skip(p, ':'))
		return true;
	tm->tm_sec = digits(p, 2);
	if (tm->tm_sec < 0 || tm->tm_sec > 60)
		return false;
	if (!skip(p, '.'))
		return true;
	for (; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
		*ms_out += (**p - '0') * scale;
	return true;
}

/* mktime and timegm turn February 30 into March 2; here it is an error. */
static bool
to_wall_ms(struct tm *tm, bool utc, int ms, int64_t *wall_ms_out)
{
	int day = tm->tm_mday;
	time_t s = utc ? timegm(tm) : mktime(tm);

	if (s == (time_t)-1 || tm->tm_mday != day)
		return false;
	*wall_ms_out = (int64_t)s * 1000 + ms;
	return true;
}

bool
human_parse_iso(const char *text_in, int64_t *wall_ms_out)
{
	const char *p = text_in;
	struct tm tm;
	int ms = 0;

	return parse_date(&p, &tm) && skip(&p, 'T') &&
	    parse_clock(&p, &tm, &ms) && strcmp(p, "Z") == 0 &&
	    to_wall_ms(&tm, true, ms, wall_ms_out);
}

/* "90s", "2d": milliseconds; false when it is not that. */
static bool
parse_ago(const char *p, int64_t *ms_out)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', DAY_MS},
	    {'w', 7 * (int64_t)DAY_MS}};
	int64_t n = 0;
	size_t len = strspn(p, "0123456789");

	if (len == 0 || len > 9 || p[len] == '\0' || p[len + 1] != '\0')
		return false;
	for (size_t i = 0; i < len; i++)
		n = n * 10 + (p[i] - '0');
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].unit == p[len]) {
			*ms_out = n * units[i].ms;
			return true;
		}
	}
	return false;
}

/* The local midnight `back` days before the one that began today. */
static bool
midnight(int64_t now_ms, int back, int64_t *wall_ms_out)
{
	time_t s = seconds_of(now_ms);
	struct tm tm;

	if (localtime_r(&s, &tm) == NULL)
		return false;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_mday -= back;
	tm.tm_isdst = -1;
	s = mktime(&tm);
	*wall_ms_out = (int64_t)s * 1000;
	return s != (time_t)-1;
}

bool
human_parse_since(const char *text_in, int64_t now_ms, int64_t *wall_ms_out)
{
	const char *p = text_in;
	struct tm tm;
	int64_t ago;
	int ms = 0;
	bool utc;

	if (parse_ago(p, &ago)) {
		*wall_ms_out = ago < now_ms ? now_ms - ago : 0;
		return true;
	}
	if (strcmp(p, "today") == 0)
		return midnight(now_ms, 0, wall_ms_out);
	if (strcmp(p, "yesterday") == 0)
		return midnight(now_ms, 1, wall_ms_out);
	if (!parse_date(&p, &tm))
		return false;
	if ((skip(&p, 'T') || skip(&p, ' ')) && !parse_clock(&p, &tm, &ms))
		return false;
	utc = skip(&p, 'Z');
	return *p == '\0' && to_wall_ms(&tm, utc, ms, wall_ms_out);
}
