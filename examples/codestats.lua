-- Statistics of source code. Reads every source file under some folders in
-- parallel, then once more in one process to compare times and results.
--
--   luajit examples/codestats.lua [option ...] [folder ...]
--
-- The parallel part is in_parallel: a Pool maps a function over batches of
-- files, a Progress and two Counters are shared by all processes.

local here = arg[0]:match "^.*/" or "./"
package.path = here .. "?.lua;" .. package.path

local sk = require "suitkaise"

local json = require "codestats.json"
local listing = require "codestats.listing"
local report = require "codestats.report"
local scan = require "codestats.scan"
local summary = require "codestats.summary"
local tables = require "codestats.tables"

local USAGE = [[
usage: codestats.lua [option ...] [folder or file ...]

Counts files and their blank, comment and code lines by language; lists the
commonest identifiers, the largest files and the most included ones. Without
a folder it reads the current one. Symbolic links are not followed.

  --workers N     processes that read files (default: one for each core)
  --top N         length of the lists (default: 20 identifiers, 10 files)
  --by-language   lists for each language instead of one for all
  --json          print JSON
  --help          print this
]]

-- Files that travel together, at most, and batches for each worker, at least.
-- Large ones save time: fewer identifiers are sent more than once. Small ones
-- save memory, and all workers end at about the same time.
local BATCH, BATCHES = 16, 16
local GC_PAUSE = 150  -- percent; the usual 200 let a worker grow by half more

-- ---- the work ----

local function batches(files, workers)
  local size = math.min(BATCH, math.ceil(#files / (BATCHES * workers)))
  local first = 1
  return function()
    if first > #files then return nil end
    local last = math.min(first + size - 1, #files)
    local batch = {}
    for i = first, last do batch[#batch + 1] = files[i] end
    first = last + 1
    return batch
  end
end

-- What is shown of a report, and what else has to be the same.
local function result_of(job, found, lines, left_out)
  for path, why in pairs(job.skipped) do found.skipped[path] = why end
  return {
    summary = summary.of(found, job.limits), files = found.files,
    imported = found.imported, lines = lines, left_out = left_out,
  }
end

local function in_parallel(job)
  local progress = sk.Progress(#job.files):bar()
  local lines, left_out = sk.Counter(0), sk.Counter(0)

  local function read_batch(batch)  -- in a worker
    collectgarbage("setpause", GC_PAUSE)
    local new_lines, new_left_out = 0, 0
    local part = report.on(batch, function(file)
      progress:increment()
      if file then
        new_lines = new_lines + file.lines
      else
        new_left_out = new_left_out + 1
      end
    end)
    lines:increment(new_lines)
    left_out:increment(new_left_out)
    return report.pack(part)
  end

  local total = report.new()
  local parts = batches(job.files, job.workers)
  for part in job.pool:unordered_imap(read_batch, parts) do
    report.add(total, part)
    progress:bar()  -- draws it again when it is time to
  end
  job.pool:close()
  return result_of(job, report.unpack(total, job.limits.identifiers),
                   lines.value, left_out.value)
end

local function in_one_process(job)
  local progress = sk.Progress(#job.files):bar()
  local lines, left_out = 0, 0
  local total = report.on(job.files, function(file)
    progress:increment()
    if file then lines = lines + file.lines else left_out = left_out + 1 end
  end)
  return result_of(job, total, lines, left_out)
end

-- What fn(...) returns, and how many seconds of wall clock it took.
local function timed(fn, ...)
  local watch = sk.Progress(1)  -- knows when it began and when it was done
  local result = fn(...)
  watch:increment()
  return result, 1 / watch.rate
end

-- Have the system read the files, so that neither of the runs that are to be
-- compared waits for a disk.
local function warm_up(files)
  local pipe = io.popen("xargs -0 head -c 4000000 >/dev/null 2>&1", "w")
  for _, path in ipairs(files) do pipe:write(path, "\0") end
  pipe:close()
end

-- ---- the command line ----

local function refuse(message)
  io.stderr:write("codestats: ", message, "\ntry --help\n")
  os.exit(2)
end

local function number(name, text, max)
  local n = text and text:match "^%d+$" and tonumber(text)
  if not n or n < 1 or n > max then
    refuse(("%s: expected a number from 1 to %d, got %s"):format(name, max,
      text and '"' .. text .. '"' or "nothing"))
  end
  return n
end

-- An option, at arg[i]: -> where the next one is.
local function read_option(options, i)
  local name, value = arg[i]:match "^(%-%-[^=]+)=(.*)$"
  name = name or arg[i]
  if name == "--workers" or name == "--top" then
    local max = name == "--workers" and 1024 or 10000
    options[name] = number(name, value or arg[i + 1], max)
    return value and i + 1 or i + 2
  end
  if name == "--help" or name == "-h" then
    io.write(USAGE)
    os.exit(0)
  end
  if value or name ~= "--json" and name ~= "--by-language" then
    refuse("unknown option " .. arg[i])
  end
  options[name] = true
  return i + 1
end

local function read_command_line()
  local options, paths, i = {}, {}, 1
  while arg[i] and arg[i] ~= "--" do
    if arg[i]:find "^%-." then
      i = read_option(options, i)
    else
      paths[#paths + 1] = arg[i]
      i = i + 1
    end
  end
  for rest = i + 1, #arg do paths[#paths + 1] = arg[rest] end
  if not paths[1] then paths[1] = "." end
  return options, paths
end

-- ---- all of it ----

local function print_times(times, difference)
  print(("\n%4d workers  %8.3f s"):format(times.workers, times.parallel))
  print(("one process   %8.3f s   %.2f times as long"):format(
    times.one_process, times.speedup))
  print(difference and "The results differ: " .. difference
        or "Both results are identical.")
end

local function main()
  local options, paths = read_command_line()
  local top = options["--top"]
  local workers = options["--workers"] or sk.cpu_count()
  -- Forked first, while there is little in this process that they inherit.
  -- The batch of a worker that dies is given to another.
  local pool = sk.Pool{ workers = workers, retries = 1 }

  local files, skipped = listing.files(paths, scan.language)
  if not files then
    pool:close()
    refuse(skipped)
  end
  warm_up(files)
  local job = {
    files = files, skipped = skipped, pool = pool, workers = workers,
    limits = {
      identifiers = top or 20, files = top or 10, imports = top or 10,
    },
  }

  io.stderr:write(("%d files, %d workers\n"):format(#files, workers))
  local parallel, parallel_seconds = timed(in_parallel, job)
  io.stderr:write("the same in one process\n")
  local alone, alone_seconds = timed(in_one_process, job)
  local difference = report.difference(parallel, alone)

  local result = parallel.summary
  result.folders = paths
  result.identical = not difference
  result.seconds = {
    workers = workers, parallel = parallel_seconds,
    one_process = alone_seconds, speedup = alone_seconds / parallel_seconds,
  }
  if options["--json"] then
    print(json.encode(result))
  else
    tables.print(result, options["--by-language"])
    print_times(result.seconds, difference)
  end
  os.exit(difference and 1 or 0)
end

main()
