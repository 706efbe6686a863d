/*
 * socket.h - the place where the admin interface is found: admin.sock.
 *
 * Runs in: supervisor (before root is given up).
 * Owns:    nothing; the descriptor becomes the caller's.
 */
#pragma once

#include <sys/types.h>

struct err;

#define ADMIN_SOCKET "admin.sock" /* in the state directory */

/*
 * Listen at admin.sock in the directory statefd, mode 0600; root gives it to
 * this user.  What a dead server left there is replaced.  Where one still
 * answers, also after the moment in which an ending one would be gone, it is
 * ERR_BAD_INPUT.  Blocks, and changes the current directory for a while (a
 * path may be too long for a socket's name), so: at start only.
 */
int admin_socket_open(int statefd, uid_t uid, gid_t gid, struct err *err);
