/*
** The header of a share's file: cut off, damaged, of another version, made on
** purpose.
*/
#include "name.h"

#include "share_layout.h"

static char *image;  /* of a share's file */
static size_t image_size;

static void take_image (void) {
  int fd;
  struct stat st;
  have_left_over();
  fd = open(in_folder("a"), O_RDONLY);
  REQUIRE(fd >= 0 && !fstat(fd, &st));
  image_size = (size_t)st.st_size;
  image = malloc(image_size);
  REQUIRE(read(fd, image, image_size) == (ssize_t)image_size);
  close(fd);
  unlink(in_folder("a"));
}

static void put_image (size_t n) {
  int fd = open(in_folder("a"), O_CREAT | O_TRUNC | O_RDWR, 0600);
  REQUIRE(fd >= 0 && write(fd, image, n) == (ssize_t)n);
  close(fd);
}

static int try_image (size_t n) {
  int rc;
  put_image(n);
  rc = open_a();
  if (!rc) {
    CHECK(get_rc("n") == SKE_ABSENT);
    leave();
  }
  return rc;
}

NAME_TEST("a file cut off anywhere is refused") {
  size_t n;
  take_image();
  CHECK(try_image(image_size) == 0);
  for (n = 0; n < image_size; n += n < 1024 ? 1 : 4093)
    CHECK(try_image(n) == SKE_CORRUPT);
  CHECK(try_image(image_size - 1) == SKE_CORRUPT);
  /* but the name can be had again */
  create(&small);
  CHECK(put_int("n", 1) == 0);
  leave();
  free(image);
}

static int is_refusal (int rc) {
  return rc == SKE_CORRUPT || rc == SKE_VERSION || rc == SKE_FOREIGN;
}

static const size_t header_end = sizeof(struct segment_header) +
                                 sizeof(struct layout);

NAME_TEST("with any byte of its header changed it is refused or the same") {
  static const char masks[] = { 1, (char)0x80, (char)0xff };
  size_t i, k;
  long same = 0, refused = 0;
  take_image();
  for (i = 0; i < header_end; i++)
    for (k = 0; k < COUNT(masks); k++) {
      int rc;
      image[i] ^= masks[k];
      rc = try_image(image_size);
      /* no memory: for a reservation of another size */
      CHECK(rc == 0 || is_refusal(rc) || rc == SKE_NOMEM);
      same += rc == 0;
      refused += rc != 0;
      image[i] ^= masks[k];
    }
  printf("# %ld changes refused, %ld in bytes that nobody reads\n", refused,
         same);
  CHECK(refused >= 3 * (long)sizeof(struct layout));
  unlink(in_folder("a"));
  free(image);
}

NAME_TEST("headers made of noise never get through") {
  uint32_t seed = 12345;
  size_t i;
  int round;
  take_image();
  for (round = 0; round < 300; round++) {
    for (i = 0; i < header_end; i++)
      if (round % 3 == 0 || random_next(&seed) % 16 == 0)
        image[i] = (char)random_next(&seed);
    CHECK(is_refusal(try_image(image_size)));
  }
  unlink(in_folder("a"));
  free(image);
}

static struct layout *layout_of_image (void) {
  return (struct layout *)(void *)(image + sizeof(struct segment_header));
}

NAME_TEST("another version's share is told from a damaged one") {
  struct layout *l;
  take_image();
  l = layout_of_image();
  l->version++;
  CHECK(try_image(image_size) == SKE_VERSION);
  l->version--;
  l->shape ^= 1;
  CHECK(try_image(image_size) == SKE_VERSION);
  l->shape ^= 1;
  l->page_bytes *= 2;
  CHECK(try_image(image_size) == SKE_VERSION);
  l->page_bytes /= 2;
  l->boot[3] ^= 1;
  CHECK(try_image(image_size) == SKE_CORRUPT);
  l->boot[3] ^= 1;
  CHECK(try_image(image_size) == 0);
  free(image);
}

/* With a right sum, too: somebody wrote it on purpose. */
static int try_summed (void) {
  struct layout *l = layout_of_image();
  const uint8_t *at = (const uint8_t *)l;
  uint64_t h = 0xcbf29ce484222325u;
  size_t i;
  for (i = 0; i < offsetof(struct layout, sum); i++)
    h = (h ^ at[i]) * 0x100000001b3u;
  l->sum = h;
  return try_image(image_size);
}

NAME_TEST("a header that leads out of the file is refused, sum or no sum") {
  static const size_t words[] = {
    offsetof(struct layout, max), offsetof(struct layout, bell),
    offsetof(struct layout, words), offsetof(struct layout, lanes),
    offsetof(struct layout, store), offsetof(struct layout, store_end),
    offsetof(struct layout, rings), offsetof(struct layout, heap),
    offsetof(struct layout, heap_max), offsetof(struct layout, lane_bytes)
  };
  static const uint64_t values[] = { 0, 1, UINT64_MAX, 1ull << 40, 4096 };
  struct layout *l;
  size_t i, k;
  take_image();
  l = layout_of_image();
  CHECK(try_summed() == 0);
  for (i = 0; i < COUNT(words); i++)
    for (k = 0; k < COUNT(values); k++) {
      uint64_t *word = (uint64_t *)(void *)((char *)l + words[i]);
      uint64_t was = *word;
      if (values[k] == was) continue;
      *word = values[k];
      CHECK(try_summed() == SKE_CORRUPT);
      *word = was;
    }
  l->max_lanes = 1u << 31;
  CHECK(try_summed() == SKE_CORRUPT);
  l->max_lanes = 0;
  CHECK(try_summed() == SKE_CORRUPT);
  l->max_lanes = small.max_users;
  memset(l->folder, 'x', sizeof l->folder);
  CHECK(try_summed() == SKE_CORRUPT);
  unlink(in_folder("a"));
  free(image);
}
