/*
 * fields.c - header fields and status codes that may be sent.
 *
 * Runs in: gateway.
 */
#include "runtime/http/http.h"

#include "runtime/http/chars.h"

/* Fields of one connection, or of the framing: RFC 9110, section 7.6.1. */
static bool
field_of_connection(struct slice name)
{
	static const char *const names[] = {"connection", "content-length",
	    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"};

	if (name.n == 0 || strchr("cCkKtTuUpP", name.p[0]) == NULL)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_ieq(name, slice_of(names[i])))
			return true;
	return name.n >= 6 &&
	    slice_ieq((struct slice){name.p, 6}, SLICE("proxy-"));
}

/* Bytes above ASCII are let out: they are opaque to HTTP. */
static bool
value_valid(struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

bool
http_header_valid(struct slice name, struct slice value)
{
	return name.n > 0 && chars_all(CHARS_TOKEN, name) &&
	    value_valid(value) && !field_of_connection(name);
}

bool
http_header_reserved(struct slice name)
{
	if (name.n >= 9 &&
	    slice_ieq((struct slice){name.p, 9}, SLICE("perilune-")))
		return true;
	return slice_ieq(name, SLICE("server-timing")) ||
	    slice_ieq(name, SLICE("date"));
}

/* IANA, HTTP Status Code Registry. */
const char *
http_status_text(unsigned int status)
{
	static const struct {
		unsigned int status;
		const char *text;
	} texts[] = {
	    {200, "OK"},
	    {404, "Not Found"},
	    {500, "Internal Server Error"},
	    {201, "Created"},
	    {202, "Accepted"},
	    {203, "Non-Authoritative Information"},
	    {204, "No Content"},
	    {205, "Reset Content"},
	    {206, "Partial Content"},
	    {207, "Multi-Status"},
	    {208, "Already Reported"},
	    {226, "IM Used"},
	    {300, "Multiple Choices"},
	    {301, "Moved Permanently"},
	    {302, "Found"},
	    {303, "See Other"},
	    {304, "Not Modified"},
	    {307, "Temporary Redirect"},
	    {308, "Permanent Redirect"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {402, "Payment Required"},
	    {403, "Forbidden"},
	    {405, "Method Not Allowed"},
	    {406, "Not Acceptable"},
	    {407, "Proxy Authentication Required"},
	    {408, "Request Timeout"},
	    {409, "Conflict"},
	    {410, "Gone"},
	    {411, "Length Required"},
	    {412, "Precondition Failed"},
	    {413, "Content Too Large"},
	    {414, "URI Too Long"},
	    {415, "Unsupported Media Type"},
	    {416, "Range Not Satisfiable"},
	    {417, "Expectation Failed"},
	    {421, "Misdirected Request"},
	    {422, "Unprocessable Content"},
	    {423, "Locked"},
	    {424, "Failed Dependency"},
	    {425, "Too Early"},
	    {426, "Upgrade Required"},
	    {428, "Precondition Required"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {451, "Unavailable For Legal Reasons"},
	    {501, "Not Implemented"},
	    {502, "Bad Gateway"},
	    {503, "Service Unavailable"},
	    {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"},
	    {506, "Variant Also Negotiates"},
	    {507, "Insufficient Storage"},
	    {508, "Loop Detected"},
	    {511, "Network Authentication Required"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "";
}
