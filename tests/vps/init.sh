#!/usr/bin/env bash
# Installs a server on a fresh machine with systemd, looks at it as a stranger and as its owner, reboots it, takes it
# away, takes it up again. A command of its own: it wants a throw-away machine.
#
#   VPS=COMMAND tests/vps/init.sh FAZT      FAZT: the program; COMMAND: up, put FILE PATH, ssh COMMAND…, reboot, down
set -euo pipefail

fazt=${1:?the program to install}
vps=${VPS:?the command that makes machines}

steps=0
ok() { steps=$((steps + 1)); echo "ok   $*"; }
fail() { echo "FAIL $*" >&2; exit 1; }
on() { "$vps" ssh "$@"; }
# What a command on the machine says holds this.
says() {
  local what=$1 expect=$2 said
  shift 2
  said=$(on "$@" 2>&1) || true
  case $said in *"$expect"*) ok "$what" ;; *) fail "$what: expected \"$expect\" in: $said" ;; esac
}

"$vps" up >/dev/null
trap '"$vps" down >/dev/null' EXIT
"$vps" put "$fazt" /root/fazt
on chmod 755 /root/fazt

says "a dry run says what it would do" "would be done" /root/fazt proc init --domain me.example --dry-run
says "and does nothing" "No such file" ls /usr/local/bin/fazt
on systemd-run --quiet --unit=squatter systemd-socket-activate -l 80 /bin/cat
for _ in $(seq 20); do on 'ss -ltn | grep -q ":80 "' && break; sleep 0.5; done
says "a port that somebody has is named" "listens on port 80" /root/fazt proc init --domain me.example --tls self-signed
says "and nothing was done" "No such file" ls /usr/local/bin/fazt
on systemctl stop squatter

start=$(date +%s%N)
made=$(on /root/fazt proc init --domain me.example --tls self-signed 2>/dev/null)
echo "     init took $((($(date +%s%N) - start) / 1000000)) ms"
case $made in *"https://me.example/join/"*) ok "the owner's link is printed" ;; *) fail "no link: $made" ;; esac
says "it runs" "active" systemctl is-active fazt
says "nothing is missing in its sandbox" "[]" "fazt proc status --json | sed 's/.*\"missing_layers\":\(\[[^]]*\]\).*/\1/'"
again=$(on "fazt proc init --domain me.example --tls self-signed 2>&1")
case $again in *"done  "*"was so"*) fail "the second time it did something: $again" ;; *"was so"*) ok "again, it does nothing" ;; esac
on "printf x >> /root/fazt"
says "another program is put in its place, and who runs is said" "systemctl restart fazt" /root/fazt proc init
says "a configuration is not changed" "is \"me.example\", not" fazt proc init --domain you.example

on "mkdir -p /root/app && echo 'export default { fetch: () => new Response(\"hello\") };' > /root/app/server.js"
on "echo '{ \"name\": \"app\", \"main\": \"server.js\", \"access\": \"public\" }' > /root/app/app.json"
says "an app is deployed" "live" fazt app deploy /root/app --yes
on "fazt net certs --root > /root/root.pem"
ask='curl -sS --cacert /root/root.pem --resolve app.me.example:443:127.0.0.1 https://app.me.example/'
says "and answers over TLS" "hello" "$ask"
says "who comes without is led there" "308" "curl -sS -o /dev/null -w '%{http_code}' -H 'Host: app.me.example' http://127.0.0.1/"
echo "     $(on 'systemd-analyze security fazt --no-pager | tail -1')"

"$vps" reboot >/dev/null
for _ in $(seq 60); do [ "$(on systemctl is-active fazt 2>/dev/null)" = active ] && break; sleep 1; done
says "after a reboot it is there again" "hello" "$ask"
on systemctl kill --signal=SIGKILL fazt
for _ in $(seq 60); do [ "$(on systemctl is-active fazt 2>/dev/null)" = active ] && break; sleep 1; done
sleep 1
says "killed, it comes back" "hello" "$ask"

says "taken away, its data stays" "is in /var/lib/fazt" fazt proc uninstall
says "nothing runs" "inactive" systemctl is-active fazt
says "and nothing is left" "No such file" ls /usr/local/bin/fazt
says "taken up again" "started now" /root/fazt proc init
says "it has its apps" "hello" "$ask"
says "all of it goes when that is wanted" "are gone" /root/fazt proc uninstall --purge --yes
says "the data too" "No such file" ls /var/lib/fazt
echo "$steps steps, all ok"
