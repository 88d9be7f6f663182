--- The sections of a process's life: one for each hook.
-- @module suitkaise.processing.sections

local sections = {}

-- In this order they are numbered; 0 is none.
sections.names = { "prerun", "run", "postrun", "onfinish", "result", "error" }

-- The part that `runs` repeats and `time_limit` bounds.
sections.of_run = { "prerun", "run", "postrun" }
sections.is_of_run = { prerun = true, run = true, postrun = true }

-- The class of an error that came out of it.
sections.errors = {
  prerun = "PreRunError", run = "RunError", postrun = "PostRunError",
  onfinish = "OnFinishError", result = "ResultError",
  error = "ErrorHandlerError",
}

sections.number = {}
for i, name in ipairs(sections.names) do sections.number[name] = i end

--- The hooks that an object has: section -> function.
function sections.hooks(object)
  local hooks = {}
  for _, name in ipairs(sections.names) do
    hooks[name] = object["__" .. name .. "__"]
  end
  return hooks
end

return sections
