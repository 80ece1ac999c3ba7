/* run_adb.sh requires a binary for the phone's architecture; this one executes the script. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char script[4096];
  char *arguments[64] = {"sh", script};
  snprintf(script, sizeof script, "%s/benchmark_model.sh", getenv("PHONE"));
  for (int i = 1; i < argc && i < 62; i++) arguments[i + 1] = argv[i];
  execv("/bin/sh", arguments);
  return 127;
}
