/*
** Places where a test makes a process die, one number each. Nothing of it is
** in a library that is built without SK_FAULTS.
*/
#ifndef SK_SHARE_FAULT_H
#define SK_SHARE_FAULT_H

enum share_fault {
  FAULT_SEND_BEGUN = 1, FAULT_SEND_MARKED, FAULT_SEND_TICKET,
  FAULT_SEND_COPIED, FAULT_SEND_PUBLISHED, FAULT_SEND_COUNTED,
  FAULT_CLAIM_LOCKED, FAULT_CLAIM_READY,
  FAULT_BATCH_BEGUN, FAULT_BATCH_LANE, FAULT_BATCH_COPIED, FAULT_BATCH_APPLIED,
  FAULT_BATCH_CONSUMED, FAULT_HANDLER,
  FAULT_COMMIT_FILLED, FAULT_COMMIT_POINT, FAULT_COMMIT_STORED,
  FAULT_COMMIT_DONE, FAULT_COMMIT_BLOCK,
  FAULT_GROW_BACKED, FAULT_GROW_DONE, FAULT_REDO_BEGUN, FAULT_REDO_DONE,
  FAULT_RECOVERED,
  FAULTS
};

#ifdef SK_FAULTS
extern void (*share_fault_hook) (int id);
#define SK_FAULT(id) (share_fault_hook ? share_fault_hook(id) : (void)0)
#else
#define SK_FAULT(id) ((void)0)
#endif

#endif
