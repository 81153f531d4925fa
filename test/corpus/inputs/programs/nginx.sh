# A master, two workers, requests at the same time, an orderly end.
mkdir -p run; cp text run/page
cat > run/conf <<END
worker_processes 2; daemon off; error_log stderr crit; pid $PWD/run/pid;
events { worker_connections 64; }
http { access_log off; client_body_temp_path $PWD/run; proxy_temp_path $PWD/run; fastcgi_temp_path $PWD/run; uwsgi_temp_path $PWD/run; scgi_temp_path $PWD/run;
  server { listen unix:$PWD/run/sock; location / { root $PWD/run; } } }
END
nginx -c $PWD/run/conf 2>/dev/null & server=$!
for k in $(seq 400); do curl -s -o /dev/null --unix-socket run/sock http://x/page && break; sleep 0.1; done
curl -s --unix-socket run/sock http://x/page | cmp - text && echo "page is right"
curl -s -o /dev/null -w '%{http_code}\n' --unix-socket run/sock http://x/none
for k in 1 2 3 4; do for j in 1 2 3 4 5; do curl -s --unix-socket run/sock http://x/page | cksum; done > run/got$k & jobs="$jobs $!"; done
wait $jobs; cat run/got* | sort | uniq -c
kill -QUIT $server; wait $server; echo "ended $?"; rm -rf run
