# A server that forks for each session, with its seccomp filters, and a client that talks to it through a pipe.
mkdir -m 700 d; ssh-keygen -q -t ed25519 -N '' -f d/host; ssh-keygen -q -t ed25519 -N '' -f d/user; cp d/user.pub d/keys
printf 'HostKey %s/d/host\nAuthorizedKeysFile %s/d/keys\nStrictModes no\nUsePAM no\nPidFile none\n' "$PWD" "$PWD" > d/conf
mkdir -p /run/sshd 2>/dev/null
ssh -F none -i d/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
  -o "ProxyCommand=/usr/sbin/sshd -i -q -f $PWD/d/conf" root@localhost 'echo over ssh; exit 5'
echo "ended $?"; rm -rf d
