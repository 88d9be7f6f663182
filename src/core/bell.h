/*
** A bell as the core's own files see it.
*/
#ifndef SK_BELL_H
#define SK_BELL_H

#include "segment.h"

struct sk_bell {
  _Alignas(SK_LINE) _Atomic uint32_t rings; /* ringers: futex */
  _Atomic uint32_t asleep;  /* sleeper sets an sk_sleep, a ringer clears */
  _Atomic int32_t event;    /* sleeper: its event's descriptor plus 1 */
};

_Static_assert(sizeof(struct sk_bell) == SK_LINE, "one bell, one line");

#endif
