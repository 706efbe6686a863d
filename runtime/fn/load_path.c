/*
 * load_path.c - a function by the path that a person typed.
 *
 * Runs in: cli.
 */
#include "runtime/fn/fn.h"
#include "runtime/fn/names.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Cut the last part off path and return it; path names its folder then. */
static const char *
cut_name(char *path)
{
	char *slash = strrchr(path, '/');

	*slash = '\0';
	return slash + 1;
}

/* "functions/hello/init.lua" means the folder. */
static void
init_to_folder(char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash != NULL && slash != path && strcmp(slash, "/init.lua") == 0)
		path[slash - path] = '\0';
}

static struct fn_version *
load_from(const char *folder, const char *name, struct err *err)
{
	auto_close int dirfd = open(folder[0] == '\0' ? "/" : folder,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dirfd < 0) {
		(void)err_sys(err, "%s", folder);
		return NULL;
	}
	return fn_load(dirfd, name, err);
}

struct fn_version *
fn_load_path(const char *path, struct err *err)
{
	auto_free char *real = realpath(path, NULL);
	char name[FN_NAME_MAX + 1];
	char shown[FN_SHOWN_MAX];
	struct stat st;
	const char *file;
	size_t n;

	if (real == NULL || stat(real, &st) < 0) {
		(void)err_sys(err, "%s", path);
		return NULL;
	}
	if (!S_ISDIR(st.st_mode))
		init_to_folder(real);
	file = cut_name(real);
	n = strlen(file);
	if (fn_entry_kind(file,
		S_ISDIR(st.st_mode) || strchr(file, '.') == NULL,
		name) != FN_ENTRY_FUNCTION ||
	    (n > 5 && strcmp(file + n - 5, ".json") == 0)) {
		(void)err_set(err, ERR_BAD_INPUT,
		    "\"%s\": a function is NAME.lua, or a folder NAME with "
		    "init.lua; NAME is letters, digits, \"_\" and \"-\", at "
		    "most %d",
		    fn_shown(slice_of(file), shown), FN_NAME_MAX);
		return NULL;
	}
	return load_from(real, name, err);
}
