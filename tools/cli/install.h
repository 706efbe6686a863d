/*
 * install.h - put a function into a functions folder, whole or not at all.
 *
 * Runs in: cli.
 * Owns:    nothing after a call; temporary names are removed on failure.
 *
 * A watcher of the folder sees one rename per file, or one for a folder:
 * everything is first written below a name that begins with '.', then renamed
 * into place.  A folder that is there already is exchanged with the new one in
 * one step (renameat2) and removed afterwards.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct err;

#define INSTALL_NAME_MAX  64	   /* bytes of a function's name */
#define INSTALL_FILES_MAX 1000	   /* files in a folder */
#define INSTALL_BYTES_MAX 33554432 /* bytes of all files together */
#define INSTALL_DEPTH_MAX 16	   /* folders within folders */

/* What PATH is, as a function. */
struct install_source {
	char name[INSTALL_NAME_MAX + 1];
	bool folder;   /* NAME/init.lua, else NAME.lua */
	bool manifest; /* NAME.json lies beside NAME.lua */
	char *path;    /* the file or folder */
	char *manifest_path;
};

/* [A-Za-z0-9_-]{1,64} */
bool install_name_valid(const char *name);

/* Look at PATH: a NAME.lua, or a folder NAME with init.lua in it. */
int install_look(struct install_source *source_out, const char *path,
    struct err *err);
void install_source_fini(struct install_source *source);

/*
 * Copy it below dirfd.  *changed_out is false when exactly this stood there
 * already (then nothing was written).  Links, special files, and too much of
 * anything are refused; hidden names (".git") in a folder are left out.
 */
int install_put(int dirfd, const struct install_source *source,
    bool *changed_out, struct err *err);
