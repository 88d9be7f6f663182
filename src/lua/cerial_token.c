/*
** Looking at bytes without building what they hold: core.cerial_token, for
** inspect and to_json; and the facts by which an open file is found again.
*/
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lualib.h>

#include "cerial_decode.h"
#include "cerial_look.h"

/* ---- tokens ---- */

/* Push a name and up to two operands: -> how many values were pushed. */
static int simple (lua_State *L, const char *name) {
  lua_pushstring(L, name);
  return 1;
}

static int counted (lua_State *L, decoder *d, const char *name) {
  uint64_t n = decode_varint(L, d);
  lua_pushstring(L, name);
  lsk_pushint(L, n > INT64_MAX ? INT64_MAX : (int64_t)n);
  return 2;
}

static int table_token (lua_State *L, const char *name, uint32_t items,
                        uint32_t pairs) {
  lua_pushstring(L, name);
  lua_pushinteger(L, (lua_Integer)items);
  lua_pushinteger(L, (lua_Integer)pairs);
  return 3;
}

static int bytes_token (lua_State *L, decoder *d, const char *name,
                        size_t n) {
  const uint8_t *p = decode_bytes(L, d, n);
  lua_pushstring(L, name);
  lua_pushlstring(L, (const char *)p, n);
  return 2;
}

static int number_token (lua_State *L, decoder *d, int tag) {
  lua_pushliteral(L, "number");
  decode_number_value(L, d, tag);
  return 2;
}

static int run_token (lua_State *L, decoder *d, int tag) {
  uint32_t i, n = decode_count(L, d);
  size_t width = decode_run_width(tag);
  const uint8_t *p;
  if (n > (size_t)(d->end - d->at) / width)
    decode_fail(L, d, "the bytes end too early");
  p = decode_bytes(L, d, n * width);
  lua_pushliteral(L, "run");
  lua_createtable(L, (int)n, 0);
  for (i = 0; i < n; i++, p += width) {
    decode_run_value(L, d, tag, p);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 2;
}

static int operand_token (lua_State *L, decoder *d, int tag) {
  switch (tag) {
    case TAG_REF: return counted(L, d, "ref");
    case TAG_CELL_REF: return counted(L, d, "cell ref");
    case TAG_LONG_STRING_REF:
      lua_pushliteral(L, "string ref");
      lsk_pushint(L, (int64_t)(decode_varint(L, d) & INT32_MAX) + SMALL_REF);
      return 2;
    case TAG_NIL: return simple(L, "nil");
    case TAG_FALSE: return simple(L, "false");
    case TAG_TRUE: return simple(L, "true");
    case TAG_CINT64: return bytes_token(L, d, "int64", 8);
    case TAG_CUINT64: return bytes_token(L, d, "uint64", 8);
    case TAG_CCOMPLEX: return bytes_token(L, d, "complex", 16);
    default: break;
  }
  if (tag >= TAG_I8 && tag <= TAG_F64) return number_token(L, d, tag);
  if (tag >= TAG_RUN_I8 && tag <= TAG_RUN_NUMBER) return run_token(L, d, tag);
  return decode_fail(L, d, "an unknown tag");
}

static int twin_token (lua_State *L, decoder *d, int tag) {
  uint32_t items;
  switch (tag & ~1) {
    case TAG_TABLE: case TAG_OBJECT:
      items = decode_count(L, d);
      return table_token(L, (tag & ~1) == TAG_OBJECT ? "object" : "table",
                         items, decode_count(L, d));
    case TAG_HOOKED: return simple(L, "hooked");
    case TAG_FUNCTION: return simple(L, "function");
    case TAG_REFERENCE: return simple(L, "reference");
    case TAG_CLASS: return simple(L, "class");
    case TAG_MODULE: return simple(L, "module");
    case TAG_LONG_STRING:
      return bytes_token(L, d, "string", decode_count(L, d));
    case TAG_STRUCT: return simple(L, "struct");
    case TAG_GLOBALS: return simple(L, "globals");
    case TAG_CELL: return simple(L, "cell");
    default: return operand_token(L, d, tag);
  }
}

static int token (lua_State *L, decoder *d, int tag) {
  if (tag < TAG_STRING) {
    lua_pushliteral(L, "number");
    lua_pushinteger(L, tag + INT_LEAST);
    return 2;
  }
  if (tag < TAG_MAP) return bytes_token(L, d, "string", (size_t)tag & 0x1F);
  if (tag < TAG_STRING_REF)
    return table_token(L, "table", 0, (uint32_t)tag & 0xF);
  if (tag < TAG_ARRAY) {
    lua_pushliteral(L, "string ref");
    lua_pushinteger(L, tag - TAG_STRING_REF);
    return 2;
  }
  if (tag < TAG_TABLE)
    return table_token(L, "table", (uint32_t)tag & 7, 0);
  return twin_token(L, d, tag);
}

static int is_shared (int tag) {
  if (tag >= TAG_MAP && tag < TAG_STRING_REF) return tag >= TAG_MAP_SHARED;
  if (tag >= TAG_ARRAY && tag < TAG_TABLE) return tag >= TAG_ARRAY_SHARED;
  return tag >= TAG_TABLE && tag < TAG_CELL_REF && (tag & 1);
}

/* (bytes, pos) -> pos of the next token, shared, kind, operands */
int cerial_token (lua_State *L) {
  size_t len;
  const uint8_t *s = (const uint8_t *)luaL_checklstring(L, 1, &len);
  lua_Number pos = luaL_checknumber(L, 2);
  decoder d;
  int tag, n;
  luaL_argcheck(L, pos >= 1 && pos <= (lua_Number)len + 1, 2, "out of range");
  memset(&d, 0, sizeof d);
  d.start = s;
  d.at = s + (size_t)pos - 1;
  d.end = s + len;
  tag = *decode_bytes(L, &d, 1);
  lua_settop(L, 2);
  lua_pushnil(L);
  lua_pushboolean(L, is_shared(tag));
  n = token(L, &d, tag);
  lsk_pushint(L, (int64_t)(d.at - s + 1));
  lua_replace(L, 3);
  return n + 2;
}

/* (bytes) -> a varint of a function: pos, count */
int cerial_count (lua_State *L) {
  size_t len;
  const uint8_t *s = (const uint8_t *)luaL_checklstring(L, 1, &len);
  lua_Number pos = luaL_checknumber(L, 2);
  decoder d;
  uint32_t n;
  luaL_argcheck(L, pos >= 1 && pos <= (lua_Number)len + 1, 2, "out of range");
  memset(&d, 0, sizeof d);
  d.start = s;
  d.at = s + (size_t)pos - 1;
  d.end = s + len;
  n = decode_count(L, &d);
  lsk_pushint(L, (int64_t)(d.at - s + 1));
  lua_pushinteger(L, (lua_Integer)n);
  return 2;
}

/* ---- open files ---- */

#define PROC_LINK_ROOM 40

/* The path of a descriptor: 0, or -1. */
static int path_of (int fd, char *path, size_t room) {
#ifdef F_GETPATH
  (void)room;
  return fcntl(fd, F_GETPATH, path) < 0 ? -1 : 0;
#else
  char link[PROC_LINK_ROOM];
  ssize_t n;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  n = readlink(link, path, room - 1);
  if (n < 0) return -1;
  path[n] = 0;
  return 0;
#endif
}

/* Does the path still lead to the file that is open? */
static int same_file (int fd, const char *path) {
  struct stat open_one, found;
  if (fstat(fd, &open_one) || stat(path, &found)) return 0;
  return open_one.st_dev == found.st_dev && open_one.st_ino == found.st_ino;
}

static const char *reopen_mode (int flags) {
  int access = flags & O_ACCMODE;
  if (access == O_RDONLY) return "r";
  if (flags & O_APPEND) return access == O_WRONLY ? "a" : "a+";
  return "r+";  /* "w" would empty the file */
}

static int no_file (lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

/* The argument's stream, NULL when it is closed. */
static FILE *check_stream (lua_State *L) {
#if LUA_VERSION_NUM >= 502
  const luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return s->closef ? s->f : NULL;
#else
  FILE *const *box = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return *box;  /* the first field in LuaJIT too */
#endif
}

/* (open file) -> path, mode, position; or nil, reason */
int cerial_file (lua_State *L) {
  FILE *f = check_stream(L);
  struct stat st;
  char path[PATH_MAX];
  int fd;
  if (!f) return no_file(L, "it is closed");
  fflush(f);
  fd = fileno(f);
  if (fd < 0 || fstat(fd, &st)) return no_file(L, "it is not open");
  if (!S_ISREG(st.st_mode)) return no_file(L, "it is no regular file");
  if (path_of(fd, path, sizeof path) || !same_file(fd, path))
    return no_file(L, "it has no path any more");
  lua_pushstring(L, path);
  lua_pushstring(L, reopen_mode(fcntl(fd, F_GETFL)));
  lsk_pushint(L, (int64_t)ftello(f));
  return 3;
}
