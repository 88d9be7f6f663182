-- TCP for tasks, on luv: what the examples with sockets share. Reads and
-- writes wait for the socket and let other tasks run.

local sk = require "suitkaise"
local uv = require "luv"

local async = sk.async

local tcp = {}

local Stream = {}
Stream.__index = Stream

local MAX_CHUNKS = 16 -- that are read before somebody takes them

local function new_stream(handle)
  return setmetatable({ handle = handle, chunks = async.Queue() }, Stream)
end

-- Let libuv read until enough has come.
local function start_reading(self)
  if self.is_reading or self.handle:is_closing() then return end
  self.is_reading = true
  self.handle:read_start(function(err, chunk)
    if not chunk then
      self.err = err
      self.chunks:close()
    else
      self.chunks:put(chunk)
    end
    if not chunk or self.chunks:size() >= MAX_CHUNKS then
      self.handle:read_stop()
      self.is_reading = false
    end
  end)
end

--- The next bytes; nil at the end, and an error if there is one.
function Stream:read(timeout)
  start_reading(self)
  local chunk, why = self.chunks:get(timeout)
  return chunk, why == "timeout" and why or self.err
end

--- All that comes until the other side closes.
function Stream:read_all()
  local parts = {}
  local chunk, err = self:read()
  while chunk do
    parts[#parts + 1] = chunk
    chunk, err = self:read()
  end
  return table.concat(parts), err
end

--- The next line without its end; nil when there is none.
function Stream:read_line()
  local buffer = self.rest or ""
  while true do
    local line, rest = buffer:match "^([^\n]*)\n(.*)$"
    if line then
      self.rest = rest
      return line
    end
    local chunk, err = self:read()
    if not chunk then return nil, err end
    buffer = buffer .. chunk
  end
end

--- Returns when the system has taken all of it: nil, or an error.
function Stream:write(data)
  return (async.call(self.handle.write, self.handle, data))
end

function Stream:close()
  if not self.handle:is_closing() then self.handle:close() end
end

--- Connect: -> stream, or nil and an error.
function tcp.connect(host, port)
  local handle = uv.new_tcp()
  local err = async.call(handle.connect, handle, host, port)
  if err then
    handle:close()
    return nil, err
  end
  return new_stream(handle)
end

--- Serve: handle(stream) runs as a task for each connection, which is closed
-- at its end. -> an object with `port` and `close()`
function tcp.serve(host, port, handle)
  local server = uv.new_tcp()
  assert(server:bind(host, port))
  assert(server:listen(128, function(err)
    if err then return end
    local peer = uv.new_tcp()
    server:accept(peer)
    local stream = new_stream(peer)
    async.spawn(function()
      async.pcall(handle, stream)
      stream:close()
    end)
  end))
  return {
    port = server:getsockname().port,
    close = function() server:close() end,
  }
end

return tcp
