# A server with threads of its own, a client with several connections, a snapshot by a forked child.
redis-server --unixsocket ./sock --port 0 --save '' --dir . --logfile log --daemonize no &
for k in $(seq 400); do redis-cli -s ./sock ping >/dev/null 2>&1 && break; sleep 0.1; done
redis-cli -s ./sock set a 1; redis-cli -s ./sock incrby a 41; redis-cli -s ./sock rpush l x y z; redis-cli -s ./sock lrange l 0 -1
redis-cli -s ./sock eval 'return redis.call("get", KEYS[1]) + 1' 1 a
redis-benchmark -s ./sock -q -n 300 -c 4 -t set,get,lpush | tr '\r' '\n' | sed -n 's/^\([A-Z]*\): .*per second.*/\1 done/p'
redis-cli -s ./sock bgsave; while redis-cli -s ./sock info persistence | grep -q bgsave_in_progress:1; do sleep 0.1; done
redis-cli -s ./sock info persistence | grep last_bgsave_status; redis-cli -s ./sock dbsize
redis-cli -s ./sock shutdown nosave; wait; echo "ended $?"
