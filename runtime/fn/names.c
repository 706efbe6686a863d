/*
 * names.c - see names.h.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/fn/names.h"

#include <stdio.h>

static bool
word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool
fn_word_valid(struct slice word)
{
	for (size_t i = 0; i < word.n; i++)
		if (!word_byte(word.p[i]))
			return false;
	return word.n > 0;
}

bool
fn_name_valid(struct slice name)
{
	return name.n <= FN_NAME_MAX && fn_word_valid(name) &&
	    !slice_is(name, "_lib");
}

bool
fn_module_name_valid(struct slice name)
{
	size_t words = 0;

	if (name.n > FN_MODULE_NAME_MAX)
		return false;
	for (;;) {
		const char *dot =
		    name.n == 0 ? NULL : memchr(name.p, '.', name.n);
		size_t n = dot == NULL ? name.n : (size_t)(dot - name.p);

		if (!fn_word_valid(slice_from(name.p, n)) ||
		    ++words > FN_DEPTH_MAX + 1)
			return false;
		if (dot == NULL)
			return true;
		name = slice_from(dot + 1, name.n - n - 1);
	}
}

static bool
ends_with(struct slice s, const char *end)
{
	size_t n = strlen(end);

	return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

bool
fn_name_temporary(const char *file)
{
	static const char *const ends[] = {"~", ".swp", ".swo", ".swx", ".tmp",
	    ".temp", ".part", ".bak", ".orig", ".rej", "#"};
	struct slice name = slice_of(file);

	if (file[0] == '.' || file[0] == '#')
		return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends_with(name, ends[i]))
			return true;
	return false;
}

enum fn_entry_kind
fn_entry_kind(const char *file, bool is_folder, char name_out[FN_NAME_MAX + 1])
{
	struct slice name = slice_of(file);

	if (fn_name_temporary(file))
		return FN_ENTRY_IGNORED;
	if (slice_is(name, "_lib"))
		return FN_ENTRY_LIB;
	if (!is_folder) {
		if (ends_with(name, ".lua"))
			name.n -= strlen(".lua");
		else if (ends_with(name, ".json"))
			name.n -= strlen(".json");
		else
			return FN_ENTRY_IGNORED;
	}
	if (!fn_name_valid(name))
		return FN_ENTRY_ODD;
	(void)slice_copy(name_out, FN_NAME_MAX + 1, name);
	return FN_ENTRY_FUNCTION;
}

const char *
fn_shown(struct slice text, char out[FN_SHOWN_MAX])
{
	size_t room = FN_SHOWN_MAX - sizeof("...");
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = c >= 0x20 && c < 0x7f && c != '\\';

		if (n + (plain ? 1 : 4) > room) {
			memcpy(out + n, "...", sizeof("..."));
			return out;
		}
		if (plain)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, FN_SHOWN_MAX - n,
			    "\\x%02x", c);
	}
	out[n] = '\0';
	return out;
}
