#!/bin/bash
# Tries the units under a real service manager: boots a Debian of its own in a container and says what became of it.
#   sudo deploy/systemd/try.sh FOLDER      # needs debootstrap, systemd-container, and ./dev run once before
# FOLDER gets the Debian, and is used again. The container has its own files and network; of this machine it sees the
# checkout and Python, which it can't write. Ends with the number of what failed.
set -u
root=$(realpath -m "${1:?a folder for the container, which is made if it is not there}")
checkout=$(realpath "$(dirname "$0")/../..")
python=$(realpath "$("$checkout/.venv/bin/python" -c 'import sys; print(sys.base_prefix)')")
name=steelyard-try-$$
failed=0

say() { printf '%-7s%s\n' "$1" "$2"; [ "$1" = ok ] || failed=$((failed + 1)); }
check() { local what=$1; shift; if "$@" >"$root.last" 2>&1; then say ok "$what"; else say FAILED "$what"; tail -5 "$root.last"; fi; }
refused() { ! "$@"; }
in_it() { nsenter --target "$leader" --all -- "$@"; }
in_studio() { in_it setpriv --reuid steelyard --regid steelyard --clear-groups env HOME=/var/lib/steelyard STEELYARD_STUDIO=/var/lib/steelyard steelyard "$@"; }
property() { in_it systemctl show --value --property "$2" "$1"; }
until_true() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done; return 1; }
is() { local now; now=$(property "$1" "$2"); echo "$2 is $now"; [ "$now" = "$3" ]; }
ready() { in_it curl --silent --fail --output /dev/null http://127.0.0.1:8080/readyz; }
call() { in_it curl --silent --fail --max-time 120 http://127.0.0.1:8080/v1/chat/completions --header "Authorization: Bearer $key" --json "$1"; }
drop_in() { in_it mkdir -p "/run/systemd/system/$1.service.d"; printf '[Service]\n%s\n' "$2" | in_it tee "/run/systemd/system/$1.service.d/try.conf" >/dev/null; in_it systemctl daemon-reload; }

if [ ! -e "$root/lib/systemd/systemd" ]; then
  debootstrap --variant=minbase bookworm "$root" "${STEELYARD_MIRROR:-}" || exit 2
  cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/"
  chroot "$root" apt-get install --yes --no-install-recommends systemd systemd-sysv dbus curl procps tzdata libgomp1 \
    libstdc++6 libsqlite3-0 libffi8 libssl3 libbz2-1.0 liblzma5 libreadline8 zlib1g || exit 2
fi
chroot "$root" id steelyard >/dev/null 2>&1 || chroot "$root" useradd --system --home-dir /var/lib/steelyard steelyard
rm -rf "$root/var/lib/steelyard"
mkdir -p "$root/opt/python" "$root/opt/steelyard"
site=$(cd "$checkout/.venv/lib" && echo python3.*/site-packages)
cat >"$root/usr/local/bin/steelyard" <<END
#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/steelyard/src:/opt/steelyard/.venv/lib/$site PYTHONDONTWRITEBYTECODE=1
exec /opt/python/bin/python3 -m steelyard "\$@"
END
chmod +x "$root/usr/local/bin/steelyard"
cp "$checkout"/deploy/systemd/*.service "$root/etc/systemd/system/"

systemd-nspawn --quiet --boot --directory "$root" --machine "$name" --register=no --keep-unit --private-network \
  --bind-ro="$checkout:/opt/steelyard" --bind-ro="$python:/opt/python" --console=pipe </dev/null >"$root.log" 2>&1 &
container=$!
for _ in $(seq 50); do leader=$(pgrep -P "$container" -x systemd) && break; sleep 0.2; done
trap 'kill -9 "$leader" 2>/dev/null; wait "$container" 2>/dev/null' EXIT
until_true in_it systemctl is-system-running --wait
echo "$(in_it systemctl --version | head -1), in a container"

check "verify finds nothing wrong" in_it systemd-analyze verify --man=no steelyard.service steelyard@gateway.service
in_it systemctl start steelyard >/dev/null 2>&1
check "without a studio it does not become active" refused is steelyard ActiveState active
in_it systemctl stop steelyard
in_studio init >/dev/null && key=$(in_studio keys create acme --json | grep -o 'sk-sy-[A-Za-z0-9]\{43\}') || exit 2
check "start returns when it serves (READY=1)" in_it systemctl start steelyard
check "it serves" ready
check "a call is answered by the embedded engine" call '{"model":"smollm2-135m-instruct","messages":[{"role":"user","content":"hello"}],"max_tokens":8}'
main=$(property steelyard MainPID)
files=$(ulimit -H -n); [ "$files" != unlimited ] && [ "$files" -lt 65536 ] || files=65536
check "it may open as many files as the unit says, or the machine lets it: $files" \
  in_it grep --extended-regexp "open files +$files" "/proc/$main/limits"
check "reload returns when it is done" in_it systemctl reload steelyard
check "it is the same process after a reload" is steelyard MainPID "$main"
in_it sed -i 's/^name = .*/name = /' /var/lib/steelyard/steelyard.toml
check "reload of a faulty studio fails" refused in_it systemctl reload steelyard
check "and it goes on serving" ready
in_it sed -i 's/^name = $/name = "Again"/' /var/lib/steelyard/steelyard.toml
check "reload of the mended studio works" in_it systemctl reload steelyard
worker=$(in_it pgrep -f steelyard.worker | head -1)
in_it kill -9 "$worker"
check "a killed worker is back without the manager" until_true ready
check "the manager has restarted nothing" is steelyard NRestarts 0
in_it kill -9 "$main"
check "kill -9 of the main process: the manager starts it again" until_true is steelyard NRestarts 1
check "and it serves" until_true ready
check "with one set of processes" [ "$(in_it pgrep -f -c steelyard.worker)" = 1 ]
drop_in steelyard "WatchdogSec=4"
check "restart is clean" in_it systemctl restart steelyard
sleep 6
check "the watchdog is content for longer than its time" is steelyard NRestarts 0
in_it kill -STOP "$(property steelyard MainPID)"
check "a main process that stands still is started again by the watchdog" until_true is steelyard NRestarts 1
check "and it serves" until_true ready
drop_in steelyard "MemoryMax=2G
TasksMax=200
CPUQuota=150%"
check "limits of memory, tasks and processor hold it" in_it systemctl restart steelyard
check "as its cgroup says" is steelyard MemoryMax 2147483648
check "and it serves within them" until_true ready
call '{"model":"smollm2-135m-instruct","messages":[{"role":"user","content":"Count."}],"max_tokens":900,"stream":true}' >"$root.stream" &
stream=$!
until_true [ -s "$root.stream" ]
check "stop lets a stream end" in_it systemctl stop steelyard
wait "$stream"
check "which has its last event" grep --quiet '^data: \[DONE\]' "$root.stream"
check "it ended with status 0" is steelyard ExecMainStatus 0
check "and not by the manager's patience" is steelyard Result success
check "nothing is left of it" refused in_it pgrep -f steelyard
check "one role each: gateway" in_it systemctl start steelyard@gateway
check "one role each: clerk" in_it systemctl start steelyard@clerk
check "one role each: console" in_it systemctl start steelyard@console
check "the gateway serves" ready
check "the console is there" in_it curl --silent --fail --output /dev/null http://127.0.0.1:8081/
for role in gateway clerk console; do
  before=$(property "steelyard@$role" MainPID)
  check "reload of the $role" in_it systemctl reload "steelyard@$role"
  check "which is the same process" is "steelyard@$role" MainPID "$before"
done
check "they stop" in_it systemctl stop 'steelyard@*'
check "the books are whole" in_studio audit
echo "exposed: $(in_it systemd-analyze security --no-pager steelyard.service | tail -1)"
echo "$failed failed"
exit "$failed"
