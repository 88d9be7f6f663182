-- Redis over a unix socket, asked by LuaJIT: prints what an operation takes, in
-- microseconds. The server is started on a socket of its own and stopped.
-- usage: redis_peer.lua get|set|increment|pipeline

package.path = "bench/?.lua;" .. package.path

local ffi = require "ffi"
local measure = require "measure"

ffi.cdef [[
struct sockaddr_un { unsigned short family; char path[108]; };
int socket(int, int, int);
int connect(int, const struct sockaddr_un *, unsigned);
long read(int, void *, size_t);
long write(int, const void *, size_t);
int usleep(unsigned);
]]

local C = ffi.C
local TURNS, BATCH = 20000, 100
local buffer = ffi.new "char[65536]"

local path = os.tmpname()
os.remove(path)
local server = io.popen(("exec timeout 60 redis-server --port 0 --save '' "
  .. "--appendonly no --unixsocket %s --loglevel warning >/dev/null 2>&1; "
  .. "echo"):format(path))

local function connect()
  local fd = C.socket(1, 1, 0)
  local address = ffi.new "struct sockaddr_un"
  address.family = 1
  ffi.copy(address.path, path)
  for _ = 1, 500 do
    if C.connect(fd, address, ffi.sizeof(address)) == 0 then return fd end
    C.usleep(10000)
  end
  error "redis does not answer"
end

local fd = connect()

-- Send it and read as many lines as it has replies.
local function ask(text, replies)
  assert(C.write(fd, text, #text) == #text)
  while replies > 0 do
    local n = tonumber(C.read(fd, buffer, 65536))
    assert(n > 0, "redis is gone")
    for i = 0, n - 1 do
      if buffer[i] == 10 then replies = replies - 1 end
    end
  end
end

local function command(...)
  local words = { "*" .. select("#", ...) }
  for _, word in ipairs { ... } do
    words[#words + 1] = "$" .. #word
    words[#words + 1] = word
  end
  return table.concat(words, "\r\n") .. "\r\n"
end

local function repeated(text, lines)
  return function(n) for _ = 1, n do ask(text, lines) end end
end

local loops = {
  get = repeated(command("GET", "n"), 2),
  set = repeated(command("SET", "n", "1"), 1),
  increment = repeated(command("INCR", "n"), 1),
  pipeline = function(n)
    local text = command("SET", "s", ("x"):rep(200)):rep(BATCH)
    for _ = 1, n / BATCH do ask(text, BATCH) end
  end,
}

ask(command("SET", "n", "0"), 1)
local loop = loops[arg[1]]
loop(TURNS / 10)
print(measure.time(loop, TURNS) / TURNS * 1e6)
pcall(ask, command("SHUTDOWN", "NOSAVE"), 1)
server:close()
os.remove(path)
