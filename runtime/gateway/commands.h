/*
 * commands.h - the commands that need no server, or are the server.
 *
 * Runs in: supervisor, cli.
 */
#pragma once

/* Each is a cli_command's run; see main.c for usage and help. */
int command_serve(int argc, char **argv);
int command_check(int argc, char **argv);
int command_run(int argc, char **argv);
int command_doctor(int argc, char **argv);

/* Hooks for the client commands. */
int commands_check_path(const char *path);
int commands_sandbox_version(void);
