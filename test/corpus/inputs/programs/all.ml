module M = Map.Make (String)
type shape = Circle of float | Rect of float * float
let area = function Circle r -> 3.14159 *. r *. r | Rect (a, b) -> a *. b
let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2)
exception Found of int
let () =
  Printf.printf "%d %.4f %s\n" (fib 22) (List.fold_left (fun s x -> s +. area x) 0. [Circle 1.5; Rect (2., 3.)]) (String.uppercase_ascii "abc");
  let m = List.fold_left (fun m w -> M.update w (function None -> Some 1 | Some n -> Some (n + 1)) m) M.empty ["a"; "b"; "a"; "c"] in
  M.iter (Printf.printf "%s=%d ") m; print_newline ();
  (try for i = 1 to 1000 do if i * i > 5000 then raise (Found i) done with Found i -> Printf.printf "found %d\n" i);
  let a = Array.init 2000 (fun i -> i * 7919 mod 1009) in Array.sort compare a; Printf.printf "%d %d\n" a.(0) a.(1000);
  let rec deep n = if n = 0 then 0 else 1 + deep (n - 1) in Printf.printf "%d\n" (deep 100000);
  let b = Buffer.create 16 in for i = 0 to 999 do Buffer.add_string b (string_of_int i) done; Printf.printf "%d %s\n" (Buffer.length b) (Digest.to_hex (Digest.string (Buffer.contents b)));
  Printf.printf "%g %e %h %d %Ld %x\n" (1. /. 3.) 1e100 0.1 max_int Int64.min_int 255;
  Gc.full_major (); let l = List.init 50000 (fun i -> (i, string_of_int i)) in Printf.printf "%d\n" (List.length (List.filter (fun (i, s) -> String.length s = 3 && i mod 7 = 0) l));
  (try ignore (List.hd []) with Failure m -> print_endline m); (try ignore (1 / (Array.length [||])) with Division_by_zero -> print_endline "zero"); exit 2
