-- What a report does to a row: the table of state x event -> state. Reports name the attempt they speak of; one for
-- another attempt changes nothing, except that "it was taken" (s, d) is evidence whatever came after. Ranks only move up.
--
-- Verdicts: s sent, d delivered, f failed, x suppressed, u unknown, r retry later (a try is spent), n not sent (no try is
-- spent), p one part of several is through (the value is the progress).
local FINAL_OF = { s = SENT, d = DELIVERED, f = FAILED, x = SUPPRESSED }
local BACK = { r = true, n = true, p = true }
local EVIDENCE = {
  s = { [PENDING] = true, [SENDING] = true, [UNRESOLVED] = true, [UNKNOWN] = true, [EXPIRED] = true, [CANCELLED] = true },
  d = {
    [PENDING] = true, [SENDING] = true, [UNRESOLVED] = true, [UNKNOWN] = true, [EXPIRED] = true, [CANCELLED] = true,
    [SENT] = true, [FAILED] = true, [SUPPRESSED] = true,
  },
}

-- Was attempt k ever begun on a row whose last attempt is q? (Attempts wrap at 256.)
local function was_begun(k, q)
  return k ~= q and (q - k) % 256 < 128
end

-- Pending again: the value is a wait in ms from now (r, n) or the progress (p).
local function put_back(parcel, i, row, state, verdict, reason, value)
  local _, attempt, flags = byte(row, 1, 3)
  local order = parcel.order
  local secs, kept
  if verdict == 'p' then
    flags = flags % TOKEN + TOKEN
    secs, kept = since_due(order), p32(value)
  elseif flags >= TOKEN then
    -- The token stays, so the wait goes where the moment of the change would be, in whole seconds.
    local s = math.max(0, math.min(16777215, math.ceil((now + value - order.due) / 1000)))
    secs, kept = char(floor(s / 65536), floor(s / 256) % 256, s % 256), sub(row, 9, 12)
  else
    secs, kept = since_due(order), value > 0 and wait_value(order, now + value) or '\0\0\0\0'
  end
  if verdict == 'r' and flags % 16 < 15 then
    flags = flags + 1
  end
  put_row(parcel, i, state, PENDING, attempt, flags, p16(reason) .. secs .. kept)
end

-- Applies one settled report. `current`: the reporter holds the parcel's lease. Answers a (applied), e (taken as
-- evidence), n (nothing new), s (stale: refused).
local function settle_row(parcel, i, k, verdict, reason, value, current)
  local row = row_at(parcel, i)
  local s, q, flags = byte(row, 1, 3)
  local state = s - ROW_VERSION
  local to = FINAL_OF[verdict]
  if k == q and ((state == SENDING and current) or state == UNRESOLVED or (state == UNKNOWN and to)) then
    if to then
      put_row(parcel, i, state, to, q, flags, p16(reason) .. since_due(parcel.order) .. sub(row, 9, 12))
    elseif BACK[verdict] then
      put_back(parcel, i, row, state, verdict, reason, value)
    elseif state == SENDING then
      -- Unknown keeps the moment of its begin: a resolver asks how old the attempt is.
      put_row(parcel, i, state, UNRESOLVED, q, flags, p16(reason) .. sub(row, 6, 12))
    else
      return 'n'
    end
    return 'a'
  end
  local evidence = EVIDENCE[verdict]
  if evidence and evidence[state] and row ~= FRESH and (was_begun(k, q) or (k == q and state ~= SENDING)) then
    put_row(parcel, i, state, to, q, flags % TOKEN, p16(reason) .. since_due(parcel.order) .. '\0\0\0\0')
    return 'e'
  end
  if k == q or was_begun(k, q) and to and state == to then
    return 'n'
  end
  return 's'
end
