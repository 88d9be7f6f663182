# The C programs that the share's bench starts: without liblmdb it says so.

bench: share-peers

.PHONY: share-peers
share-peers:
	@mkdir -p $(BUILD)/bench
	$(SHOW)$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -o \
	  $(BUILD)/bench/two_atomic bench/share/two_atomic.c
	-@$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -o $(BUILD)/bench/lmdb_peer \
	  bench/share/lmdb_peer.c -llmdb 2>/dev/null || \
	  echo 'bench: no LMDB here, left out'
