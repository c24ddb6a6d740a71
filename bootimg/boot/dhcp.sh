#!/bin/busybox sh
# Applies what the DHCP server said; udhcpc calls it with the event and the lease in variables.
case "$1" in
deconfig)
  busybox ip address flush dev "$interface" scope global
  ;;
bound | renew)
  busybox ip address replace "$ip/${mask:-24}" dev "$interface" ||
    busybox ip address add "$ip/${mask:-24}" dev "$interface"
  if [ -n "$router" ]; then
    busybox ip route replace default via "${router%% *}" dev "$interface"
  fi
  for server in $dns; do echo "nameserver $server"; done >/run/denovisor/.resolv.conf
  mv /run/denovisor/.resolv.conf /run/denovisor/resolv.conf
  ;;
esac
exit 0
