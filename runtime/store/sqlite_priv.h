/*
 * sqlite_priv.h - the SQLite store: its handle, and running statements.
 *
 * Runs in: gateway
 *          (the writer thread).
 * Owns:    the database handle, its prepared statements, the lock file.
 */
#pragma once

#include "runtime/store/store_priv.h"

#include <sqlite3.h>

#define SQLITE_STORE_FILE "perilune.db"

/* Every statement that is prepared once, at open.  sqlite_calls.c has their
 * text. */
enum sql_statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_ADD_RECORD,
	SQL_LAST_SEQ,
	SQL_COMPACT_LIST,
	SQL_COMPACT_ADD,
	SQL_COMPACT_MARK,
	SQL_COMPACT_DELETE,
	SQL_VERSIONS,
	SQL_ADD_VERSION,
	SQL_ACCEPT_EVENT,
	SQL_UPDATE_EVENT,
	SQL_FIND_EVENT,
	SQL_N
};
extern const char *const sql_text[SQL_N];

struct sqlite {
	sqlite3 *db;
	int lockfd;
	sqlite3_stmt *statements[SQL_N];
	int wal_pages; /* in the log since the last checkpoint */
	bool dead;
	struct err death; /* why */
};

/* What SQLite says as an err (ERR_SYSTEM); a failed read, write or fsync and
 * a damaged file are the death of the store.  Returns -1. */
int sqlite_err(struct sqlite *sql, const char *what, struct err *err);

/* Step to a row: 1, to the end: 0, or fail: -1.  At 0 and -1 it is reset. */
int sqlite_step(struct sqlite *sql, sqlite3_stmt *stmt, const char *what,
    struct err *err);

/* Open the file, bring its schema up to date, prepare sql_text. */
void *sqlite_store_open(int dirfd, struct err *err);
void sqlite_store_close(void *self);
