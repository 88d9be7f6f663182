/*
** The words for error codes, the clocks and the processors.
*/
#include "os.h"
#include "suitkaise.h"

const char *sk_strerror (int rc) {
  switch (rc) {
#define SK_ERROR_TEXT(name, code, text) case name: return text;
    SK_ERRORS(SK_ERROR_TEXT)
#undef SK_ERROR_TEXT
    case SKE_OK: return "no error";
    default: return "unknown error";
  }
}

int64_t sk_now_ns (void) {
  return os_now_ns();
}

int64_t sk_time_ns (void) {
  return os_time_ns();
}

int sk_sleep_ns (int64_t ns) {
  _Atomic uint32_t nobody_wakes_it = 0;
  if (ns <= 0) return 0;
  return os_park(&nobody_wakes_it, 0, ns) == SKE_INTR ? SKE_INTR : 0;
}

int sk_cpu_count (void) {
  return os_cpu_count();
}
