-- What wrk sends: one chat completion. MODEL, KEY, STREAM=1 and EXTRA="name=value;..." say which.
-- It prints one JSON object: calls, errors, and latencies in microseconds.
wrk.method = "POST"
local stream = os.getenv("STREAM") == "1"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")
for k, v in string.gmatch(os.getenv("EXTRA") or "", "([%w%-]+)=([^;]+)") do wrk.headers[k] = v end
wrk.body = '{"model":"' .. os.getenv("MODEL") .. '","messages":[' ..
  '{"role":"system","content":"You are a terse assistant that answers in one sentence."},' ..
  '{"role":"user","content":"Explain to me in one sentence why a gateway should count tokens exactly, please."}],' ..
  '"temperature":0.7,"max_tokens":128' ..
  (stream and ',"stream":true,"stream_options":{"include_usage":true}' or '') .. '}'

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"calls":%d,"us":%d,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
