/*
 * paths.c - see paths.h.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/fn/paths.h"

#include "runtime/fn/names.h"
#include "sandbox/base/err.h"

bool
fn_segment_next(struct slice *path, struct slice *segment_out)
{
	const char *slash;
	size_t n;

	if (path->n == 0)
		return false;
	if (path->p[0] == '/') {
		path->p++;
		path->n--;
	}
	slash = path->n == 0 ? NULL : memchr(path->p, '/', path->n);
	n = slash == NULL ? path->n : (size_t)(slash - path->p);
	*segment_out = slice_from(path->p, n);
	path->p += n;
	path->n -= n;
	return true;
}

static bool
letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
param_valid(struct slice segment)
{
	if (segment.n < 2 || segment.n > 33 || !letter(segment.p[1]))
		return false;
	for (size_t i = 2; i < segment.n; i++)
		if (!letter(segment.p[i]) && !digit(segment.p[i]))
			return false;
	return true;
}

/* Unreserved characters only (RFC 3986, section 2.3): what needs no escape
 * has one spelling. */
static bool
literal_valid(struct slice segment)
{
	if (segment.n == 0 || slice_is(segment, ".") || slice_is(segment, ".."))
		return false;
	for (size_t i = 0; i < segment.n; i++) {
		char c = segment.p[i];

		if (!letter(c) && !digit(c) && c != '-' && c != '.' && c != '~')
			return false;
	}
	return true;
}

/* Has the route a segment like this before p? */
static bool
seen_before(struct slice route, struct slice param)
{
	struct slice segment;

	while (fn_segment_next(&route, &segment) && segment.p < param.p)
		if (slice_eq(segment, param))
			return true;
	return false;
}

static int
check_segment(struct slice route, struct slice segment, struct err *err)
{
	char shown[FN_SHOWN_MAX];

	if (segment.n == 0)
		return err_set(err, ERR_BAD_INPUT,
		    "must have no \"//\" and no \"/\" at its end");
	if (!fn_segment_is_param(segment)) {
		if (literal_valid(segment))
			return 0;
		return err_set(err, ERR_BAD_INPUT,
		    "\"%s\": segments are letters, digits, \".\", \"_\", "
		    "\"~\", \"-\" or :name",
		    fn_shown(segment, shown));
	}
	if (!param_valid(segment))
		return err_set(err, ERR_BAD_INPUT,
		    "\"%s\": a parameter is \":\" and a name of letters, "
		    "digits and \"_\", at most 32",
		    fn_shown(segment, shown));
	if (seen_before(route, segment))
		return err_set(err, ERR_BAD_INPUT, "\"%s\" is there twice",
		    fn_shown(segment, shown));
	return 0;
}

int
fn_route_check(struct slice route, struct err *err)
{
	struct slice rest = route;
	struct slice segment;
	size_t segments = 0;
	size_t params = 0;

	if (route.n == 0 || route.p[0] != '/')
		return err_set(err, ERR_BAD_INPUT, "must begin with \"/\"");
	if (route.n > FN_ROUTE_BYTES)
		return err_set(err, ERR_BAD_INPUT, "must be at most %d bytes",
		    FN_ROUTE_BYTES);
	if (route.n == 1)
		return 0;
	while (fn_segment_next(&rest, &segment)) {
		if (check_segment(route, segment, err) < 0)
			return -1;
		if (segments++ == 0 &&
		    (slice_is(segment, "healthz") ||
			slice_is(segment, "readyz")))
			return err_set(err, ERR_BAD_INPUT,
			    "/healthz and /readyz are the server's own");
		params += fn_segment_is_param(segment);
	}
	if (segments > FN_SEGMENTS_MAX || params > FN_PARAMS_MAX)
		return err_set(err, ERR_BAD_INPUT,
		    "must have at most %d segments and %d parameters",
		    FN_SEGMENTS_MAX, FN_PARAMS_MAX);
	return 0;
}

static bool
component_valid(struct slice part)
{
	if (part.n == 0 || part.n > 255 || slice_is(part, ".") ||
	    slice_is(part, ".."))
		return false;
	for (size_t i = 0; i < part.n; i++)
		if ((unsigned char)part.p[i] < 0x20 || part.p[i] == 0x7f)
			return false;
	return true;
}

int
fn_folder_check(struct slice path, struct slice *below_out, struct err *err)
{
	const struct slice top = SLICE("uploads/");
	struct slice rest;
	struct slice part;

	if (path.n <= top.n || memcmp(path.p, top.p, top.n) != 0)
		return err_set(err, ERR_BAD_INPUT,
		    "must be a folder below uploads, like \"uploads/in\"");
	if (path.n > FN_FOLDER_BYTES)
		return err_set(err, ERR_BAD_INPUT, "must be at most %d bytes",
		    FN_FOLDER_BYTES);
	*below_out = slice_from(path.p + top.n, path.n - top.n);
	rest = slice_from(path.p + top.n - 1, path.n - top.n + 1);
	while (fn_segment_next(&rest, &part))
		if (!component_valid(part))
			return err_set(err, ERR_BAD_INPUT,
			    "must have no \".\", \"..\", empty or unprintable "
			    "parts and no \"/\" at its end");
	return 0;
}

bool
fn_folder_within(const char *path, const char *other)
{
	size_t n = strlen(other);

	return strncmp(path, other, n) == 0 &&
	    (path[n] == '\0' || path[n] == '/');
}
