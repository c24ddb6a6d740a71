#!/bin/busybox sh
# Applies what the DHCP server said; udhcpc calls it with the event and the lease in variables.
# SET_ROUTE and SET_DNS say whether this network's server is the one to be asked for these.
case "$1" in
deconfig)
  busybox ip -4 address flush dev "$interface" scope global
  ;;
bound | renew)
  busybox ip address replace "$ip/${mask:-24}" dev "$interface" ||
    busybox ip address add "$ip/${mask:-24}" dev "$interface"
  if [ -n "$router" ] && [ "$SET_ROUTE" = yes ]; then
    busybox ip route replace default via "${router%% *}" dev "$interface"
  fi
  if [ "$SET_DNS" = yes ]; then
    for server in $dns; do echo "nameserver $server"; done >/run/denovisor/.resolv.conf
    mv /run/denovisor/.resolv.conf /run/denovisor/resolv.conf
  fi
  ;;
esac
exit 0
