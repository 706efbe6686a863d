/*
 * admin.c - see admin.h.
 *
 * Runs in: cli.
 * Owns:    the curl handle, the descriptor of the state folder.
 */
#include "tools/cli/admin.h"

#include "sandbox/base/cleanup.h"
#include "tools/cli/cli.h"
#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define DEFAULT_STATE ".perilune"
#define SOCKET	      "admin.sock"

struct admin {
	CURL *curl;
	int statefd;
	char *state; /* as people call it */
};

/* What the write callback of one call works on. */
struct answer {
	struct admin *admin;
	const struct admin_request *request;
	struct admin_reply *reply;
	bool too_long;
};

static void
how_to_reach(void)
{
	term_printf(stderr, TERM_PLAIN,
	    "  start one:            perilune serve\n"
	    "  or say where it runs: --state DIR, or PERILUNE_STATE=DIR\n");
}

/* Is the socket there at all?  Says why not. */
static bool
socket_there(const struct admin *admin)
{
	struct stat st;

	if (admin->statefd < 0) {
		term_error("no server: cannot open the state folder %s: %s",
		    admin->state, strerror(errno));
		return false;
	}
	if (fstatat(admin->statefd, SOCKET, &st, 0) < 0) {
		term_error("no server runs on the state folder %s (%s: %s)",
		    admin->state, SOCKET, strerror(errno));
		return false;
	}
	if (!S_ISSOCK(st.st_mode)) {
		term_error("%s/%s is not a socket", admin->state, SOCKET);
		return false;
	}
	return true;
}

static const char *
state_name(const char *state)
{
	if (state != NULL)
		return state;
	state = getenv("PERILUNE_STATE");
	return state != NULL && state[0] != '\0' ? state : DEFAULT_STATE;
}

struct admin *
admin_open(const char *state)
{
	struct admin *admin = calloc(1, sizeof(*admin));

	if (admin == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		abort();
	admin->state = slice_dup(slice_of(state_name(state)));
	admin->statefd = open(admin->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!socket_there(admin)) {
		how_to_reach();
		admin_close(admin);
		return NULL;
	}
	admin->curl = curl_easy_init();
	if (admin->curl == NULL)
		abort();
	return admin;
}

void
admin_close(struct admin *admin)
{
	if (admin == NULL)
		return;
	curl_easy_cleanup(admin->curl);
	curl_global_cleanup();
	if (admin->statefd >= 0)
		(void)close(admin->statefd);
	free(admin->state);
	free(admin);
}

static size_t
on_write(char *p, size_t size, size_t n, void *arg)
{
	struct answer *answer = arg;
	size_t bytes = size * n;
	long status = 0;

	(void)curl_easy_getinfo(answer->admin->curl, CURLINFO_RESPONSE_CODE,
	    &status);
	if (answer->request->on_bytes != NULL && status == 200) {
		answer->request->on_bytes(slice_from(p, bytes),
		    answer->request->arg);
		return bytes;
	}
	if (answer->reply->body.n + bytes > ADMIN_REPLY_MAX) {
		answer->too_long = true;
		return CURL_WRITEFUNC_ERROR;
	}
	buf_add(&answer->reply->body, p, bytes);
	return bytes;
}

/* No proxy and no configuration file has a say in how the socket is used. */
static void
set_up(struct answer *answer, const char *url, struct curl_slist *headers)
{
	const struct admin_request *request = answer->request;
	CURL *curl = answer->admin->curl;
	char socket[64];

	(void)snprintf(socket, sizeof(socket), "/proc/self/fd/%d/%s",
	    answer->admin->statefd, SOCKET);
	curl_easy_reset(curl);
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, request->timeout_s);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_write);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	if (request->method != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST,
		    request->method);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
		    request->body.n > 0 ? request->body.p : "");
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)request->body.n);
	}
}

static int
unreachable(const struct answer *answer, CURLcode code)
{
	long sys = 0;

	(void)curl_easy_getinfo(answer->admin->curl, CURLINFO_OS_ERRNO, &sys);
	if (answer->too_long) {
		term_error("the answer is longer than %s",
		    human_bytes(ADMIN_REPLY_MAX).text);
		return CLI_FAILED;
	}
	if (code == CURLE_OPERATION_TIMEDOUT) {
		term_error("the server did not answer within %ld s",
		    answer->request->timeout_s);
	} else if (code == CURLE_COULDNT_CONNECT && sys == EACCES) {
		term_error("may not talk to the server at %s/%s: only the "
			   "user who started it, or root, may",
		    answer->admin->state, SOCKET);
	} else if (code == CURLE_COULDNT_CONNECT) {
		term_error("no server answers at %s/%s (it is not running)",
		    answer->admin->state, SOCKET);
		how_to_reach();
	} else {
		term_error("the server went away before it had answered: %s",
		    curl_easy_strerror(code));
	}
	return CLI_UNREACHABLE;
}

int
admin_call(struct admin *admin, const struct admin_request *request,
    struct admin_reply *reply_out)
{
	struct answer answer = {admin, request, reply_out, false};
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	struct buf url = {0};
	CURLcode code;

	*reply_out = (struct admin_reply){0};
	headers = curl_slist_append(headers,
	    "Content-Type: application/octet-stream");
	buf_addf(&url, "http://perilune%s%c", request->path, '\0');
	set_up(&answer, url.p, headers);
	code = curl_easy_perform(admin->curl);
	(void)curl_easy_getinfo(admin->curl, CURLINFO_RESPONSE_CODE,
	    &reply_out->status);
	curl_slist_free_all(headers);
	buf_fini(&url);
	return code == CURLE_OK ? 0 : unreachable(&answer, code);
}

void
admin_reply_fini(struct admin_reply *reply)
{
	buf_fini(&reply->body);
}

/* "what" is for people; reason, failed_by and request_id are for reports. */
static void
say_problem(const struct admin_reply *reply, const json_t *problem)
{
	const char *detail = js_text(problem, "detail");
	const char *title = js_text(problem, "title");
	const char *reason = js_text(problem, "reason");
	const char *failed_by = js_text(problem, "failed_by");
	const char *id = js_text(problem, "request_id");

	if (detail[0] == '\0')
		detail = title[0] == '\0' ? "the server refused" : title;
	term_error("%s (%ld%s%s)", detail, reply->status,
	    reason[0] == '\0' ? "" : ", ", reason);
	if (failed_by[0] != '\0' || id[0] != '\0')
		term_printf(stderr, TERM_DIM, "  failed by %s, request %s\n",
		    failed_by[0] == '\0' ? "?" : failed_by,
		    id[0] == '\0' ? "?" : id);
}

int
admin_problem(const struct admin_reply *reply)
{
	json_t *problem =
	    json_loadb(reply->body.p, reply->body.n, JSON_ALLOW_NUL, NULL);

	say_problem(reply, problem);
	json_decref(problem);
	return CLI_FAILED;
}

int
admin_fetch(struct admin *admin, const struct admin_request *request,
    struct admin_reply *reply_out, json_t **json_out)
{
	int rc = admin_call(admin, request, reply_out);
	json_error_t error;

	if (rc != 0)
		return rc;
	if (reply_out->status < 200 || reply_out->status > 299)
		return admin_problem(reply_out);
	if (json_out == NULL)
		return 0;
	*json_out = json_loadb(reply_out->body.p, reply_out->body.n,
	    JSON_ALLOW_NUL, &error);
	if (*json_out != NULL)
		return 0;
	term_error("the server's answer to %s is not JSON: %s", request->path,
	    error.text);
	return CLI_FAILED;
}

int
admin_get(struct admin *admin, const char *path, json_t **json_out)
{
	struct admin_request request = {.path = path, .timeout_s = 30};
	struct admin_reply reply;
	int rc = admin_fetch(admin, &request, &reply, json_out);

	admin_reply_fini(&reply);
	return rc;
}

void
admin_print_reply(const struct admin_reply *reply)
{
	(void)fwrite(reply->body.p, 1, reply->body.n, stdout);
	if (reply->body.n == 0 || reply->body.p[reply->body.n - 1] != '\n')
		(void)fputc('\n', stdout);
}

int
admin_print(struct admin *admin, const char *path)
{
	struct admin_request request = {.path = path, .timeout_s = 30};
	struct admin_reply reply;
	int rc = admin_fetch(admin, &request, &reply, NULL);

	if (rc == 0)
		admin_print_reply(&reply);
	admin_reply_fini(&reply);
	return rc;
}

/* RFC 3986, section 2.3: what needs no escape. */
void
admin_segment(struct buf *path, const char *name)
{
	for (const char *p = name; *p != '\0'; p++) {
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		    (*p >= '0' && *p <= '9') || strchr("-._~", *p) != NULL)
			buf_putc(path, *p);
		else
			buf_addf(path, "%%%02X", (unsigned char)*p);
	}
}

void
admin_query(struct buf *path, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_putc(path, memchr(path->p, '?', path->n) == NULL ? '?' : '&');
	buf_addf(path, "%s=", name);
	admin_segment(path, value);
}

void
admin_query_number(struct buf *path, const char *name, int64_t value)
{
	char digits[24];

	(void)snprintf(digits, sizeof(digits), "%" PRId64, value);
	admin_query(path, name, digits);
}

const char *
js_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "" : text;
}

int64_t
js_int(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

uint64_t
js_count(const json_t *object, const char *key)
{
	int64_t value = js_int(object, key);

	return value < 0 ? 0 : (uint64_t)value;
}

bool
js_is_null(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value == NULL || json_is_null(value);
}

int64_t
js_time(const json_t *object, const char *key)
{
	int64_t wall_ms = 0;

	if (human_parse_iso(js_text(object, key), &wall_ms))
		return wall_ms;
	return js_int(object, key);
}
